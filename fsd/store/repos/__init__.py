"""Every query, one aggregate a file. Nothing here commits."""

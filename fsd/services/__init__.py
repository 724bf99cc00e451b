"""The use cases, one aggregate a file: no sockets, no SQL."""

"""The server's data directory: its paths, its lock, and the keys kept in it."""

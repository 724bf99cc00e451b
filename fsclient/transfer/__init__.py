"""Files on their way: what is to be moved, and moving it."""

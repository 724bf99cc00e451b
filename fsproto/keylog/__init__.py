"""The key log: an append-only list of all users' keys, and signed heads over it."""

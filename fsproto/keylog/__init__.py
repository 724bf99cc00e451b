"""The key log: an append-only list of the keys of every user, and signed heads over it."""

"""Whose keys: identities, the key tree, and the file an identity is kept in."""

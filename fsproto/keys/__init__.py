"""Keys: identities, the key tree, grants, member lists, and sealed key files."""

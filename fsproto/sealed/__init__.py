"""The stored formats: sealed streams, their salted hashes, manifests and folder states."""

"""What is stored: sealed streams, their salted hashes, manifests and folder states."""

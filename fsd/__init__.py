"""The daemon: accounts, one-time passwords, metadata and sealed blobs; it can read none of them."""

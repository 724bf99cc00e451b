"""The store of sealed blobs, and garbage collection."""

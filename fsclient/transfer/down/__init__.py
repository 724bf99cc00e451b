"""Downloads: walking a remote tree, decrypting, writing files."""

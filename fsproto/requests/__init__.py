"""Request links: a URL with which people without an account send files to its owner."""

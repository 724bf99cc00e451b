"""Public links: a URL with a secret that opens one file or folder, without an account."""

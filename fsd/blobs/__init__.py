"""Where sealed blobs lie, and what tidies up after a crash."""

"""Measurements against OpenSSH and rsync (`make bench`); docs/performance.md explains them."""

"""Measurements beside OpenSSH and rsync: `make bench`; what they mean is in docs/performance.md."""

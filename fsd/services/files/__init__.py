"""Use cases on files: commits, uploads, history, shares, the key log, quotas."""

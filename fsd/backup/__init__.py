"""Backups of a whole server: made while it runs, sealed under a passphrase, put back as a whole."""

"""Logged-in sessions: login, one-time passwords, host keys, key rotation."""

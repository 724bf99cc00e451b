"""Hooks: events of the audit log that a command or a webhook receives."""

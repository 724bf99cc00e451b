"""Authentication: one-time passwords, tickets, and the limits on guessing."""

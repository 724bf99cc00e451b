"""Who may come in: one-time passwords, tickets, and the limits on guessing."""

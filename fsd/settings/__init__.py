"""What the operator decides: one table of settings, where their values come from, how they read."""

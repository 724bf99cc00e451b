"""Use cases of logging in: codes, attempts, sessions, and the user's own account."""

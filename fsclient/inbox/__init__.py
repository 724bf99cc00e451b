"""The user's drop box: list, accept and reject the drops in it."""

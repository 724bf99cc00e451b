"""Helpers that the programs of the server and the client share."""

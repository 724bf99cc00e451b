"""Enrols and manages people on the server's own database."""

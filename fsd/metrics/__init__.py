"""Monitoring of the server: metrics and health, on a loopback listener."""

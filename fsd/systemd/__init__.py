"""Support for systemd: the unit file, and notifications of the server's state."""

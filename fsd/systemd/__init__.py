"""What a systemd unit needs: the unit itself, and telling systemd how the server stands."""

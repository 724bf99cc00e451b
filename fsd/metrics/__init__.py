"""What the server tells of itself to who watches it: numbers and health, on a loopback listener."""

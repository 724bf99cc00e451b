"""What the client holds others to: what it has seen before, and whose keys it expects."""

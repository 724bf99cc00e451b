"""The audit log: all security events, in a hash chain that reveals later changes."""

"""The audit log: every security event, in a chain that shows what was changed in it afterwards."""

"""The agent: a process that keeps the keys of identity files in memory for a time."""

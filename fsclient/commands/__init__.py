"""The commands of the client, each in its own module."""

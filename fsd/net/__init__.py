"""The network side of the server: native listener, SSH listener, drop box."""

"""The connection to the server: a blocking socket, proxy commands, reconnecting."""

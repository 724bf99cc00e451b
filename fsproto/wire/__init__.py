"""The wire protocol: the handshake, the records, and the connection that uses both."""

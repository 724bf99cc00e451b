"""How it is said: the handshake, the records, and the connection that joins them."""

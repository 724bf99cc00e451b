"""What the server's and the client's programs do alike on a machine."""

"""SFTP version 3 as bytes: numbers and packets, which the client's gateway and a server share."""

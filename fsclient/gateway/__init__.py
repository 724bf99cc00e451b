"""The gateway: an SFTP server on the user's machine for the user's verified, sealed tree."""

"""The gateway: one's own verified, sealed tree as an SFTP server on one's own machine."""

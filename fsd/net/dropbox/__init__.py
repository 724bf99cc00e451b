"""The drop box as an SFTP server, independent of the transport: no SSH, no sockets."""

WORDS = (
    "What is uploaded here is seen by this server as it comes. It is sealed to the keys of the "
    "person it is for, who accepts or rejects it, and cannot be read back."
)
"""The notice that clients get before they log in to the drop box."""

"""What both ends agree on: bytes on the wire, bytes in a sealed file, keys and signatures.

Nothing here opens a socket or a file, asks for the time, or reads the environment; randomness
and time are handed in by the caller.
"""

__version__ = "0.1.0"

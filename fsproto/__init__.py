"""The formats that client and server share: the wire protocol, sealed files, keys, signatures.

This package opens no socket or file, and reads neither the clock nor the environment; callers pass
in randomness and time.
"""

__version__ = "0.1.0"

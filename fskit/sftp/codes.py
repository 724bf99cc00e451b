"""Numbers of SFTP version 3: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for what it adds.

First what the drafts say, then what our servers keep to.
"""

from __future__ import annotations

import enum

VERSION = 3


class Request(enum.IntEnum):
    """What a client asks for (section 3)."""

    INIT = 1
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    EXTENDED = 200


class Response(enum.IntEnum):
    """What it is answered."""

    VERSION = 2
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED_REPLY = 201


class StatusCode(enum.IntEnum):
    """How it went (section 7). 6 and 7 are for clients alone to use."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


class AttributeFlag(enum.IntFlag):
    """Which attributes follow (section 5)."""

    SIZE = 0x1
    UIDGID = 0x2
    PERMISSIONS = 0x4
    TIMES = 0x8
    EXTENDED = 0x80000000


class OpenFlag(enum.IntFlag):
    """How a file is opened (section 6.3)."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREATE = 0x08
    TRUNCATE = 0x10
    EXCLUSIVE = 0x20


# --- of our servers -------------------------------------------------------------------------

MAX_PACKET = 256 * 1024
"""Bytes of a packet without its length, as OpenSSH has it."""
MAX_DATA = MAX_PACKET - 1024
"""Bytes that one read or write carries."""
MAX_HANDLES = 1024
"""Handles of one client that are open at once."""
NAMES_BYTES = 128 * 1024
"""About how many bytes one part of a listing takes."""

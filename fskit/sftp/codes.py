"""Numbers of SFTP version 3, and the limits of the servers of this project.

Sources: draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL for its extensions.
"""

from __future__ import annotations

import enum

VERSION = 3


class Request(enum.IntEnum):
    """The types of requests (section 3)."""

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
    """The types of responses."""

    VERSION = 2
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED_REPLY = 201


class StatusCode(enum.IntEnum):
    """The status codes (section 7). Only clients use 6 and 7."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


class AttributeFlag(enum.IntFlag):
    """Flags for the attributes that follow (section 5)."""

    SIZE = 0x1
    UIDGID = 0x2
    PERMISSIONS = 0x4
    TIMES = 0x8
    EXTENDED = 0x80000000


class OpenFlag(enum.IntFlag):
    """Flags for opening a file (section 6.3)."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREATE = 0x08
    TRUNCATE = 0x10
    EXCLUSIVE = 0x20


# --- of our servers -------------------------------------------------------------------------

MAX_PACKET = 256 * 1024
"""The most bytes of a packet, without its length field; the limit of OpenSSH."""
MAX_DATA = MAX_PACKET - 1024
"""The most bytes in one read or write."""
MAX_HANDLES = 1024
"""The most open handles of one client."""
MAX_ANSWER = 32_000
"""The most bytes of an answer whose size the client did not choose. All clients must take packets
of 34,000 bytes (draft-ietf-secsh-filexfer-02, section 3); sshfs ends at 128 KiB."""
MAX_NAMES = 100
"""The most names in one part of a listing, as in OpenSSH's sftp-server."""
MAX_SENTENCE = 1000
"""The most characters of the text in a status: it names paths, which may be long."""

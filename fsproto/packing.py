"""How a record becomes bytes: msgpack arrays, read back strictly.

One place says what "strict" is, for messages and for signed payloads alike: fields by position,
none missing, none too many, of exactly the declared types, and nothing behind the end.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from fsproto.errors import RemoteProtocolError


class Record(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, omit_defaults=False
):
    """Base of everything that is packed."""


R = TypeVar("R", bound=Record)

_encoder = msgspec.msgpack.Encoder()


def pack(record: Record) -> bytes:
    """Return the record's bytes."""
    return _encoder.encode(record)


def unpack(data: bytes | memoryview, kind: type[R]) -> R:
    """Return the record of that kind; `RemoteProtocolError` if the bytes are not exactly one."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RemoteProtocolError(
            f"The other end sent a {kind.__name__} that cannot be read."
        ) from None

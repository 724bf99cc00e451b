"""How a record becomes bytes: msgpack arrays, read back strictly.

One place says what "strict" is, for messages and for signed payloads alike: fields by position,
none missing, none too many, of exactly the declared types, and nothing behind the end.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

from fsproto.errors import RemoteProtocolError


class Record(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, omit_defaults=False
):
    """Base of everything that is packed."""


R = TypeVar("R", bound=Record)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[Any]] = {}
_making = threading.Lock()


def decoder_of(kind: Any) -> msgspec.msgpack.Decoder[Any]:  # noqa: ANN401 - a class, or a union of some
    """Return what reads records of a kind, or of one of several; anybody may use it at any time.

    One thread at a time makes them: msgspec (0.22) keeps what it knows of a type before it knows
    all of it, and a thread that reads such a one in that moment ends the whole program.
    """
    found = _decoders.get(kind)
    if found is None:
        with _making:
            found = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return found


def pack(record: Record) -> bytes:
    """Return the record's bytes."""
    return _encoder.encode(record)


def unpack(data: bytes | memoryview, kind: type[R]) -> R:
    """Return the record of that kind; `RemoteProtocolError` if the bytes are not exactly one."""
    try:
        read: R = decoder_of(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RemoteProtocolError(
            f"The other end sent a {kind.__name__} that cannot be read."
        ) from None
    return read

"""The encoding of records: msgpack arrays, decoded strictly.

Messages and signed payloads use the same strict rules: fields by position, none missing, none
extra, exactly of the declared types, and no bytes after the end.

Every value has one encoding, the shortest one. A record that is signed, sealed or hashed is
refused in any other encoding (`unpack`), so that all clients accept the same payloads.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

from fsproto.errors import RemoteProtocolError


class Record(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, omit_defaults=False
):
    """Base of the packed classes."""


R = TypeVar("R", bound=Record)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[Any]] = {}
_making = threading.Lock()


def decoder_of(kind: Any) -> msgspec.msgpack.Decoder[Any]:  # noqa: ANN401 - a class, or a union of some
    """Return the shared decoder of a record class or a union of several; it is thread-safe.

    A lock allows one thread at a time to create decoders: msgspec (0.22) publishes its information
    about a type before it is complete, and a thread that uses it then crashes the whole program.
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
    """Return the record of that kind; `RemoteProtocolError` if the bytes are not exactly one.

    The bytes must be those that `pack` returns for the record.
    """
    try:
        read: R = decoder_of(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable(kind) from None
    if _encoder.encode(read) != data:
        raise _unreadable(kind)
    return read


def _unreadable(kind: type[Record]) -> RemoteProtocolError:
    return RemoteProtocolError(f"The other end sent a {kind.__name__} that cannot be read.")

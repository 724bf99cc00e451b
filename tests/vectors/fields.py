"""Packed records as JSON objects: every field by name, bytes in hex."""

from __future__ import annotations

import enum
import typing
from typing import Any, TypeVar

import msgspec

from fsproto.packing import Record

R = TypeVar("R", bound=Record)


def to_json(value: Any) -> Any:
    """Return the JSON form of `value` in a vector."""
    if isinstance(value, Record):
        return {f.name: to_json(getattr(value, f.name)) for f in msgspec.structs.fields(value)}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return int(value) if isinstance(value, enum.IntEnum) else value


def from_json(kind: type[R], fields: dict[str, Any]) -> R:
    """Return the record of type `kind` from the `fields` that `to_json` wrote."""
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], fields[name]) for name in hints if name in fields})


def declared(kind: Any) -> tuple[Any, bool]:
    """Return the underlying type of an annotation, and whether None is allowed."""
    if typing.get_origin(kind) is typing.Literal:
        return type(typing.get_args(kind)[0]), False
    some = [each for each in typing.get_args(kind) if each is not type(None)]
    if type(None) in typing.get_args(kind):
        return declared(some[0])[0], True
    return getattr(kind, "__supertype__", kind), False


def _value(kind: Any, value: Any) -> Any:
    kind, may_be_none = declared(kind)
    if may_be_none and value is None:
        return None
    if typing.get_origin(kind) is list:
        return [_value(typing.get_args(kind)[0], item) for item in value]
    if issubclass(kind, Record):
        return from_json(kind, value)
    if issubclass(kind, bytes):
        return bytes.fromhex(value)
    return kind(value) if issubclass(kind, enum.Enum) else value

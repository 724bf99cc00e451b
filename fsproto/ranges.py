"""The ranges of integers and the longest lists in records; a reader refuses all else.

Decoding checks them, at both ends. Without them, a value that one program accepts would keep
another program from reading a whole folder. A list of small items takes thirty times the memory of
its packed form, so every list in a message has a limit.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta

from fsproto.limits import (
    MAX_BLOCKED,
    MAX_DEVICE_NAME,
    MAX_FETCH,
    MAX_GENERATION,
    MAX_ITEMS,
    MAX_MEMBERS,
    MAX_NOTICES,
    MAX_PATH_PARTS,
    MAX_SESSIONS,
    MAX_STATES,
)

_MOST = (1 << 63) - 1
T = TypeVar("T")

Uint63 = Annotated[int, Meta(ge=0, le=_MOST)]
"""A number, a size in bytes, or a time in milliseconds since 1970: 0 to 2^63 - 1."""
Int64 = Annotated[int, Meta(ge=-_MOST - 1, le=_MOST)]
"""A time of a file in nanoseconds since 1970, which may be earlier: -2^63 to 2^63 - 1."""
Version = Annotated[int, Meta(ge=1, le=_MOST)]
"""A version: 1 to 2^63 - 1."""
Generation = Annotated[int, Meta(ge=1, le=MAX_GENERATION)]
"""A generation of a node's key: 1 to 1,024."""

DeviceName = Annotated[str, Meta(max_length=MAX_DEVICE_NAME)]
"""The name that a user gives to a device: at most 64 characters."""
Items = Annotated[list[T], Meta(max_length=MAX_ITEMS)]
"""A list without a lower limit: at most 32,768 items."""
Notices = Annotated[list[T], Meta(max_length=MAX_NOTICES)]
Running = Annotated[list[T], Meta(max_length=MAX_SESSIONS)]
Blobs = Annotated[list[T], Meta(max_length=MAX_FETCH)]
Present = Annotated[list[T], Meta(max_length=MAX_STATES)]
People = Annotated[list[T], Meta(max_length=MAX_MEMBERS)]
Refused = Annotated[list[T], Meta(max_length=MAX_BLOCKED)]
Way = Annotated[list[T], Meta(max_length=2 * MAX_PATH_PARTS)]
"""One item for each name of a path, which may be too long: that costs this path alone."""

"""The ranges of the integers in records; a reader refuses every other value.

Decoding checks them, at both ends. Without them, a value that one program accepts would keep
another program from reading a whole folder.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from fsproto.limits import MAX_GENERATION

_MOST = (1 << 63) - 1

Uint63 = Annotated[int, Meta(ge=0, le=_MOST)]
"""A number, a size in bytes, or a time in milliseconds since 1970: 0 to 2^63 - 1."""
Int64 = Annotated[int, Meta(ge=-_MOST - 1, le=_MOST)]
"""A time of a file in nanoseconds since 1970, which may be earlier: -2^63 to 2^63 - 1."""
Version = Annotated[int, Meta(ge=1, le=_MOST)]
"""A version: 1 to 2^63 - 1."""
Generation = Annotated[int, Meta(ge=1, le=MAX_GENERATION)]
"""A generation of a node's key: 1 to 1,024."""

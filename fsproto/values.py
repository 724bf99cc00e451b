"""Small values that stay within one program: frozen, compared by what they hold.

Like a frozen dataclass, at a fraction of what one costs to define when a program starts, and to
make once for every file. What is packed is a `Record` instead.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True):
    """Base of all of them. Its text shows every field: one that holds a key says less."""

"""Small values inside one program: frozen, compared by their fields.

They work like frozen dataclasses, but the classes are faster to define when a program starts, and
the objects faster to create for every file. Classes that are packed derive from `Record` instead.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True):
    """Base of these values. The repr shows every field, so a class with keys must override it."""

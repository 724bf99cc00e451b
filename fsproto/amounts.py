"""Numbers of bytes as text, in powers of 1024."""

from __future__ import annotations

import re

_KIB = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TYPED = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,3}))?\s*(?:([KMGTPE])(?:iB?)?|B)?", re.IGNORECASE)
MAX_BYTES = (1 << 63) - 1
"""The largest integer in a database column."""
ALLOWED_BYTES = "a number of bytes like 500M, 10G or 1.5 TiB (powers of 1024)"


def size_text(count: int) -> str:
    """Return a number of bytes as text: `0 B`, `17 B`, `3.4 MiB`."""
    if count < _KIB:
        return f"{count} B"
    amount, units = float(count), iter(_UNITS[1:])
    unit = ""
    while amount >= _KIB and (bigger := next(units, "")):
        amount, unit = amount / _KIB, bigger
    return f"{amount:.1f} {unit}"


def parse_size(text: str) -> int:
    """Read `17`, `500M`, `10 GiB`, `1.5T`; `ValueError` for other text or more than 2^63 - 1.

    `GB` is refused because it is ambiguous: a power of 1000 or of 1024.
    """
    match = _TYPED.fullmatch(text.strip())
    if match is None:
        raise ValueError("no number of bytes")
    whole, fraction, letter = match[1], match[2] or "", (match[3] or "B").upper()
    unit = _KIB ** [name[0] for name in _UNITS].index(letter)
    count: int = int(whole + fraction) * unit // 10 ** len(fraction)
    if count > MAX_BYTES:
        raise ValueError("too many bytes")
    return count

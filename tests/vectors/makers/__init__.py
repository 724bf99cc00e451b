"""One module per group of vectors; each has `make(kept)`, which returns vectors by file name."""

from __future__ import annotations

from collections.abc import Callable

from fsproto.crypto import CryptoError
from fsproto.errors import FsError
from tests.vectors import Vector

Files = dict[str, list[Vector]]


class Kept:
    """The existing vectors, for bytes that came from randomness and cannot be computed again."""

    def __init__(self, files: Files) -> None:
        """Store the vectors of all existing files."""
        self._vectors = {
            (file, vector["name"]): vector for file, vectors in files.items() for vector in vectors
        }

    def get(
        self, file: str, vector: str, field: str, *, good: Callable[[bytes], bool] = bool
    ) -> bytes | None:
        """Return a field's bytes, or None if they are missing or not `good`."""
        found = self._vectors.get((file, vector), {}).get(field)
        try:
            value = bytes.fromhex(found or "")
            return value if good(value) else None
        except (CryptoError, FsError):
            return None

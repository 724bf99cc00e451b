"""One module a group of vectors; each has `make(kept)`, which gives its files' vectors by name."""

from __future__ import annotations

from collections.abc import Callable

from fsproto.crypto import CryptoError
from fsproto.errors import FsError
from tests.vectors import Vector

Files = dict[str, list[Vector]]


class Kept:
    """The vectors as they stand, for those of their bytes that nothing could make again."""

    def __init__(self, files: Files) -> None:
        """Take the vectors of every file that there is."""
        self._vectors = {
            (file, vector["name"]): vector for file, vectors in files.items() for vector in vectors
        }

    def get(
        self, file: str, vector: str, field: str, *, good: Callable[[bytes], bool] = bool
    ) -> bytes | None:
        """Return a field's bytes if they are there and still `good`."""
        found = self._vectors.get((file, vector), {}).get(field)
        try:
            value = bytes.fromhex(found or "")
            return value if good(value) else None
        except (CryptoError, FsError):
            return None

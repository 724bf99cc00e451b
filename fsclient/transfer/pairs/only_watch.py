"""One watch for each pair of folders: the second is refused, with the process of the first.

The lock file stays open while the watch runs. The number of the process is in a file of its own,
because on some systems no process can read a locked file.
"""

from __future__ import annotations

import os
from pathlib import Path

from fsclient.local_errors import local_errors
from fsclient.profile_files import make_private_folder, write_private
from fskit.files import lock
from fsproto.errors import ConflictError


class OnlyWatch:
    """The lock of the watch of one pair."""

    def __init__(self, pair: Path) -> None:
        """Lock the pair until `close`; `pair` is the path of its state."""
        self._number = Path(f"{pair}.pid")
        with local_errors(pair.parent):
            make_private_folder(pair.parent)
            self._lock = os.open(f"{pair}.watch", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                lock(self._lock)
            except (BlockingIOError, PermissionError):
                os.close(self._lock)
                raise ConflictError(
                    f"These two folders are watched already, by {self._other()}.",
                    hint="One watch is enough; end it to start another.",
                ) from None
            write_private(self._number, f"{os.getpid()}\n".encode())

    def close(self) -> None:
        """Unlock the pair."""
        self._number.unlink(missing_ok=True)
        os.close(self._lock)

    def _other(self) -> str:
        try:
            return f"process {int(self._number.read_text())}"
        except (OSError, ValueError):  # it is just starting
            return "another process"

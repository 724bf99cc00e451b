"""Failures of single files: reported at once, while the transfer continues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fsclient.ui import Ui
from fsproto.errors import (
    FsError,
    OutOfSpaceError,
    RemoteProtocolError,
    SecurityError,
    Unreachable,
)


class Failures:
    """The failures of single files, for the exit status at the end."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._worst: FsError | None = None
        self.data: list[dict[str, str | None]] = []
        """Each failure as programs are told of it."""
        self.left_out: list[str] = []
        """Local paths that were left out on purpose."""

    def __len__(self) -> int:
        return len(self.data)

    def note(self, error: FsError) -> None:
        """Tell a failure and go on; raises it on where going on makes no sense."""
        if isinstance(error, Unreachable | OutOfSpaceError | RemoteProtocolError):
            raise error
        self._ui.complain(error)
        self.data.append({"error": error.code, "message": error.sentence, "hint": error.hint})
        if self._worst is None or isinstance(error, SecurityError):
            self._worst = error

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what goes wrong with the one thing that the block does."""
        try:
            yield
        except FsError as error:
            self.note(error)

    def skip(self, path: str, what: str) -> None:
        """Tell that something was left out on purpose."""
        self._ui.warn(f"Left out '{path}': it is a {what}.")
        self.left_out.append(path)

    def removed_nothing(self) -> None:
        """Tell that nothing was removed, because of what has failed."""
        self._ui.warn("Not everything went well, so nothing was removed.")

    def raise_if_any(self) -> None:
        """End with the status of the worst failure; a failed security check is the worst."""
        if self._worst is not None:
            raise SystemExit(self._worst.exit_status)

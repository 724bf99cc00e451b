"""Failures of single files: reported at once, while the transfer continues."""

from __future__ import annotations

from collections.abc import Collection, Iterator
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

    def __init__(self, ui: Ui, known: Collection[str] = ()) -> None:
        """`known`: sentences, and paths that were left out, which are not printed again."""
        self._ui = ui
        self._known = known
        self._worst: FsError | None = None
        self.data: list[dict[str, str | None]] = []
        """All failures, for the JSON result."""
        self.left_out: list[str] = []
        """Local paths that were deliberately skipped."""

    def __len__(self) -> int:
        return len(self.data)

    def note(self, error: FsError) -> None:
        """Report a failure and continue; raise it if the command cannot continue."""
        if error.is_final or isinstance(error, Unreachable | OutOfSpaceError | RemoteProtocolError):
            raise error
        if error.sentence not in self._known:
            self._ui.complain(error)
        self.data.append({"error": error.code, "message": error.sentence, "hint": error.hint})
        if self._worst is None or isinstance(error, SecurityError):
            self._worst = error

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note an error that the block raises, and continue after it."""
        try:
            yield
        except FsError as error:
            self.note(error)

    def skip(self, path: str, what: str) -> None:
        """Warn that a local path was deliberately skipped."""
        if path not in self._known:
            self._ui.warn(f"Left out '{path}': it is a {what}.")
        self.left_out.append(path)

    @property
    def sentences(self) -> set[str]:
        """The sentences of all failures, and the paths that were left out."""
        return {str(one["message"]) for one in self.data} | set(self.left_out)

    def raise_alarm(self) -> None:
        """Exit with the status of a failed security check, if there was one."""
        if isinstance(self._worst, SecurityError):
            raise SystemExit(self._worst.exit_status)

    def removed_nothing(self) -> None:
        """Warn that nothing was removed because of failures."""
        self._ui.warn("Some files failed, so nothing was removed.")

    def raise_if_any(self) -> None:
        """Exit with the status of the worst failure; a failed security check ranks highest."""
        if self._worst is not None:
            raise SystemExit(self._worst.exit_status)

"""Actions on single files and folders: counted, and printed in a dry run or with --verbose."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fsclient.ui import Ui, write_out
from fskit.text import count_text, size_text
from fsproto.names import for_terminal

MAKE_FOLDER, PUT, GET, REPLACE = "make-folder", "put", "get", "replace"
TOUCH, SKIP, REMOVE = "touch", "skip", "remove"
RENAME, MOVE = "rename", "move"
LOCAL, REMOTE = "local", "remote"
_HEADINGS = ("ACTION", "SIDE", "SIZE", "PATH")


class Actions:
    """The actions of one command."""

    def __init__(
        self, ui: Ui, *, dry_run: bool = False, verbose: bool = False, both_sides: bool = False
    ) -> None:
        """`both_sides`: either side may change, and a dry run prints a table that names it."""
        self._ui = ui
        self._verbose = verbose
        self._counts: Counter[str] = Counter()
        self._data: list[dict[str, Any]] = []
        self._sparse: list[str] = []
        self.dry_run = dry_run
        """If set, callers only note their actions and do not perform them."""
        self._both_sides = both_sides
        self._rows: list[tuple[str, str, str, str]] = []
        self.excluded = 0

    def note(
        self, action: str, path: object, size: int | None = None, side: str | None = None
    ) -> None:
        """Note an action on a path (a folder's ends in `/`); `size` is the bytes it moves.

        `side` is the side that changes, where it can be either one.
        """
        self._counts[action] += 1
        if not self.dry_run and not self._verbose:
            return
        words = action.replace("-", " ")
        size_in_words = size_text(size) if size is not None and size >= 0 else ""
        if self.dry_run and self._ui.as_json:
            found = {"action": action, "path": str(path), "size": size}
            self._data.append(found | {"side": side} if self._both_sides else found)
            return
        if self.dry_run and self._both_sides:
            self._rows.append((words, side or "", size_in_words, for_terminal(str(path))))
            return
        line = f"{words} {path}"
        if size_in_words:
            line += f" ({size_in_words})"
        if action == SKIP:
            line += " (same)"
        if self.dry_run:
            write_out(for_terminal(line) + "\n")
        else:
            self._ui.say(line)

    def sparse(self, path: object) -> None:
        """Report a sparse file, whose holes are sent as zeros."""
        self._ui.say(f"'{path}' is sparse; its holes are sent as zeros.")
        self._sparse.append(str(path))

    @property
    def changed(self) -> bool:
        """Whether there was any action except to skip a file."""
        return any(count for action, count in self._counts.items() if action != SKIP)

    def _show_table(self) -> None:
        rows = [_HEADINGS, *self._rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for action, side, size, path in rows:
            start = f"{action:<{widths[0]}}  {side:<{widths[1]}}  {size:>{widths[2]}}"
            write_out(f"{start}  {path}\n")

    def tell(self) -> None:
        """Print a total for each kind of action except transfers; of a dry run, the table."""
        counts = self._counts
        if self._rows:
            self._show_table()
        parts = [
            f"skipped {count_text(counts[SKIP], 'file')} that {_are(counts[SKIP])} the same",
            f"set the time or mode of {counts[TOUCH]}",
            f"moved {counts[MOVE]}",
            f"removed {counts[REMOVE]}",
            f"excluded {self.excluded}",
        ]
        numbers = counts[SKIP], counts[TOUCH], counts[MOVE], counts[REMOVE], self.excluded
        told = [part for part, number in zip(parts, numbers, strict=True) if number]
        if told and not self.dry_run:
            self._ui.say(", ".join(told))

    def result(self) -> dict[str, Any]:
        """Return the actions for the JSON result."""
        counts = self._counts
        result: dict[str, Any] = {
            "skipped": counts[SKIP],
            "touched": counts[TOUCH],
            "moved": counts[MOVE],
            "removed": counts[REMOVE],
            "excluded": self.excluded,
            "sparse": self._sparse,
        }
        return result | ({"actions": self._data} if self.dry_run else {})


def _are(count: int) -> str:
    return "is" if count == 1 else "are"

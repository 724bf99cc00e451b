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


class Actions:
    """The actions of one command."""

    def __init__(self, ui: Ui, *, dry_run: bool = False, verbose: bool = False) -> None:
        self._ui = ui
        self._verbose = verbose
        self._counts: Counter[str] = Counter()
        self._data: list[dict[str, Any]] = []
        self._sparse: list[str] = []
        self.dry_run = dry_run
        """If set, callers only note their actions and do not perform them."""
        self.excluded = 0

    def note(self, action: str, path: object, size: int | None = None) -> None:
        """Note an action on a path (a folder's ends in `/`); `size` is the bytes it moves."""
        self._counts[action] += 1
        if not self.dry_run and not self._verbose:
            return
        line = f"{action.replace('-', ' ')} {path}"
        if size is not None and size >= 0:
            line += f" ({size_text(size)})"
        if action == SKIP:
            line += " (same)"
        if not self.dry_run:
            self._ui.say(line)
        elif self._ui.as_json:
            self._data.append({"action": action, "path": str(path), "size": size})
        else:
            write_out(for_terminal(line) + "\n")

    def sparse(self, path: object) -> None:
        """Report a sparse file, whose holes are sent as zeros."""
        self._ui.say(f"'{path}' is sparse; its holes are sent as zeros.")
        self._sparse.append(str(path))

    @property
    def changed(self) -> bool:
        """Whether there was any action except to skip a file."""
        return any(count for action, count in self._counts.items() if action != SKIP)

    def tell(self) -> None:
        """Print a total for each kind of action except transfers."""
        counts = self._counts
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

"""Finds a removed file or folder in other folders than the given one."""

from __future__ import annotations

from collections.abc import Callable

from fsclient.operations.listing import removed_lines
from fsclient.operations.trash import RemoteTrash, TrashChoice
from fsclient.session.session import Session
from fsclient.transfer.report.failures import Failures
from fsclient.tree.removed import RemovedNode
from fsclient.ui import Ui
from fskit.console import NotConfirmedError
from fsproto.errors import NotFoundError
from fsproto.names import RemotePath

_MOST_IN_HINT = 5


class RemovedElsewhere:
    """Offers what was removed under a name from any folder of a tree."""

    def __init__(self, session: Session, ui: Ui, failures: Failures) -> None:
        """Failures to list a folder are noted in `failures`."""
        self._session = session
        self._ui = ui
        self._failures = failures

    def choose(self, path: RemotePath, missing: NotFoundError) -> RemovedNode:
        """Return what the user chooses of what was removed under the end of `path`.

        Raises `missing`, the error of `path`, if there is nothing to offer, and with a hint if
        there is no terminal to ask on; `NotConfirmedError` if the user takes none.
        """
        found = self._found(path)
        if not found:
            raise missing
        paths = [str(one.found.path) for one in found]
        if not self._ui.can_ask():
            more = len(paths) - _MOST_IN_HINT
            named = ", ".join(f"'{one}'" for one in paths[:_MOST_IN_HINT])
            missing.hint = f"Removed from elsewhere: {named}" + (
                f" and {more} more, as 'fsclient trash list' shows." if more > 0 else "."
            )
            raise missing
        self._ui.show(f"There is no '{path}'. Removed from elsewhere:")
        lines = removed_lines(found, paths)
        if len(found) == 1:
            self._ui.show(f"  {lines[0]}")
            self._ui.confirm(f"Restore '{paths[0]}'?", yes=False)
            return found[0]
        for number, line in enumerate(lines, 1):
            self._ui.show(f"{number:>3}  {line}")
        return self._asked(found)

    def _asked(self, found: list[RemovedNode]) -> RemovedNode:
        while True:
            answer = self._ui.ask(f"Restore which one? [1-{len(found)}, none] ")
            if answer.isascii() and answer.isdecimal() and 0 < int(answer) <= len(found):
                return found[int(answer) - 1]
            if answer.lower() in ("", "n", "no", "none", "q"):
                raise NotConfirmedError("Nothing was restored.")

    def _found(self, path: RemotePath) -> list[RemovedNode]:
        """Return the latest of each path that ends like `path`; else those in another case."""
        trash = RemoteTrash(self._session, self._failures)
        gone, _ = trash.find(TrashChoice((RemotePath(path.owner, ()),)))
        latest: dict[RemotePath, RemovedNode] = {}
        for one in gone:
            latest.setdefault(one.found.path, one)
        alike: tuple[Callable[[str], str], ...] = (str, str.casefold)
        for form in alike:
            wanted = tuple(map(form, path.parts))
            ends = [
                one
                for one in latest.values()
                if tuple(map(form, one.found.path.parts))[-len(wanted) :] == wanted
            ]
            if ends:
                return ends
        return []

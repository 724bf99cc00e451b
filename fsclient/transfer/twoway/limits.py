"""How many files a two-way sync may remove, and the cases in which it removes none at all."""

from __future__ import annotations

import re

from fsclient.transfer.twoway.plan import Do, Local, Plan, Remote
from fsclient.ui import Ui
from fskit.text import count_text
from fsproto.errors import ConflictError, UsageError
from fsproto.names import for_terminal
from fsproto.values import Value

_FORM = re.compile(r"([0-9]{1,9})(%?)")


class MaxDelete(Value, frozen=True):
    """The most files that may be removed from one side; None is no limit."""

    files: int | None = 100
    percent: int | None = 50

    def is_exceeded(self, removed: int, total: int) -> bool:
        """Return whether removing some of `total` files needs a confirmation."""
        too_many = self.files is not None and removed > self.files
        return too_many or (self.percent is not None and removed * 100 > total * self.percent)


def parse_max_delete(text: str | None) -> MaxDelete:
    """Return the limit of `--max-delete`: `200` files, or `80%`; `UsageError` for another text."""
    if text is None:
        return MaxDelete()
    form = _FORM.fullmatch(text)
    if form is None:
        raise UsageError(
            f"The limit '{for_terminal(text)}' of --max-delete is not understood.",
            hint="Give a number of files, or a percentage of one side's files: 200 or 80%.",
        )
    number = int(form[1])
    return MaxDelete(None, number) if form[2] else MaxDelete(number, None)


class Removals(Value, frozen=True):
    """The files that a plan removes, of those that each side has."""

    here: int
    files_here: int
    there: int
    files_there: int

    def check_sides(self, local: str, remote: str) -> None:
        """Raise `ConflictError` if one side has lost all its files: its disk may not be mounted."""
        if (self.there and not self.files_here) or (self.here and not self.files_there):
            where = (
                f"local folder '{local}'" if not self.files_here else f"remote folder '{remote}'"
            )
            count = count_text(self.here + self.there, "file")
            raise ConflictError(
                f"The {where} has no files any longer, and the last sync left {count} there that "
                "would be removed from the other side; nothing was changed.",
                hint="Is a disk not mounted? If not, remove them on the other side as well.",
            )

    def are_beyond(self, most: MaxDelete) -> bool:
        """Return whether one side would lose more files than `most`."""
        return most.is_exceeded(self.here, self.files_here) or most.is_exceeded(
            self.there, self.files_there
        )

    def sentence(self) -> str:
        """Return what would be removed."""
        return (
            f"The sync would remove {self.here} of {count_text(self.files_here, 'local file')} and "
            f"{self.there} of {count_text(self.files_there, 'remote file')}"
        )

    def confirm(self, most: MaxDelete, ui: Ui) -> None:
        """Ask if they are beyond `most`; `ConflictError` where there is no terminal to ask on."""
        if not self.are_beyond(most):
            return
        if ui.can_ask():
            ui.confirm(f"{self.sentence()}. Continue?", yes=False)
            return
        raise ConflictError(
            f"{self.sentence()}, more than --max-delete allows; nothing was changed.",
            hint="-n shows the plan. To allow it: --max-delete NUMBER or --max-delete PERCENT%.",
        )


def removals(
    found: Plan, local: Local, remote: Remote, replaced: tuple[int, int] = (0, 0)
) -> Removals:
    """Return what a plan removes; folders are not counted.

    `replaced`: the local and the remote files that moves have replaced before.
    """
    here = [step for step in found.all(Do.REMOVE_HERE) if local[step.path] is not None]
    there = [step for step in found.all(Do.REMOVE_THERE) if remote[step.path] is not None]
    files = [sum(one is not None for one in side.values()) for side in (local, remote)]
    gone = len(here) + replaced[0], len(there) + replaced[1]
    return Removals(gone[0], files[0] + replaced[0], gone[1], files[1] + replaced[1])

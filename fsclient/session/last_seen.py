"""What a profile has seen, before a login: shown to the server, and missing in the profile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import STATE
from fsclient.trust.sqlite import is_empty
from fsproto.errors import FsError
from fsproto.messages.account import LastSeen
from fsproto.types import NodeId

RESTORED = (
    "No one-time password was used. Talk to your administrator. If a backup was restored, "
    "'fsclient doctor /' shows what is older."
)
"""The hint for a server that says itself that it is behind."""


def last_seen(memory: SeenVersions, people: KeyDirectory, root: NodeId) -> LastSeen:
    """Return the newest key log and the newest state of the user's tree that were seen."""
    newest = memory.seen(root, STATE)
    if newest is None:
        return LastSeen(people.log_head, 0, b"")
    return LastSeen(people.log_head, newest.point.version, newest.point.hash)


def tell_losses(memory: Path | None, people: Path, tell: Callable[[str], None]) -> bool:
    """Warn if files of a profile are missing or empty; `memory` is None if it is not kept.

    Return whether the memory is lost.
    """
    lost = memory is not None and is_empty(memory)
    if lost:
        tell(
            "This profile has lost its memory of the versions that it has seen: an older state of "
            "a folder is not noticed until the folder was seen again."
        )
    if is_empty(people):
        tell(
            "This profile has lost the keys of other people that it knew: compare them again with "
            "'fsclient verify', before you share with them."
        )
    return lost


def tell_older_memory(
    memory: SeenVersions, people: KeyDirectory, tell: Callable[[str], None], *, lost: bool
) -> None:
    """Warn once if the memory is an older copy of itself; `people` has its mark of last time.

    `lost`: the user knows that the memory is a new one.
    """
    noted = people.memory_at()  # first: another command may write both files at this moment
    at = memory.mark()
    if at >= noted:
        return
    people.reset_memory(at)
    if not lost:
        tell(
            "The memory of the versions that this profile has seen is older than its last use, as "
            "after a restore from a copy: versions that were seen since then are not compared. An "
            "older state of a folder is not noticed until the folder was seen again."
        )


def note_memory(memory: SeenVersions, people: KeyDirectory) -> None:
    """Note how far the memory has come; a failure prevents only that an older copy is noticed."""
    if not memory.kept:
        return
    with suppress(FsError):
        at = memory.mark()
        if at > people.memory_at():
            people.note_memory(at)

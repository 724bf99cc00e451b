"""What a profile has seen, before a login: shown to the server, and missing in the profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import STATE
from fsclient.trust.sqlite import is_empty
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


def tell_losses(memory: Path | None, people: Path, tell: Callable[[str], None]) -> None:
    """Warn if files of a profile are missing or empty; `memory` is None if it is not kept."""
    if memory is not None and is_empty(memory):
        tell(
            "This profile has lost its memory of the versions that it has seen: an older state of "
            "a folder is not noticed until the folder was seen again."
        )
    if is_empty(people):
        tell(
            "This profile has lost the keys of other people that it knew: compare them again with "
            "'fsclient verify', before you share with them."
        )

"""A second look at where a folder is, before an alarm that depends on it.

Whose signature counts in a folder, and which folders are above it, depends on its place. The client
finds the place first and is shown the content later. If the folder was moved in between, honest
content looks forged: its author may write in the new place only. So before such an alarm the client
asks for each folder above again. Only a verified answer that follows from all that was seen, and
that has another entry there, takes the alarm back. The content is not used in either case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fsclient.trust.places import Places
from fsproto.errors import ConflictError, FsError, IntegrityError, SignatureError
from fsproto.keys.tree import KeyedNode
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.types import NodeId, Token

EntryNow = Callable[[KeyedNode, Token], FolderEntry | None]
"""Asks for the present entry of a folder under a token, and verifies it; None: there is none."""


class SecondLook:
    """Compares the places of folders with what the server shows now."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.entry_now: EntryNow | None = None
        """Set by the tree; None while there is none."""

    @contextmanager
    def unless_moved(self, folder: NodeId) -> Iterator[None]:
        """Raise `ConflictError` in place of an alarm if a folder is not where it was found.

        The block decides about the content of the folder, by its place.
        """
        try:
            yield
        except (SignatureError, IntegrityError):
            if self._has_moved(folder):
                raise ConflictError(
                    "A folder was moved or changed while it was read.",
                    hint="Give the same command again.",
                ) from None
            raise

    def _has_moved(self, folder: NodeId) -> bool:
        """Return whether it is proved that a folder, or one above it, has left its place."""
        if self.entry_now is None:
            return False
        try:
            for above, entry in self._places.links_down(folder):
                if self.entry_now(above, entry.token) != entry:
                    return True
        except FsError:  # without a verified answer, the alarm stays
            return False
        return False

"""Accepting drops: move them into `inbox/` as the user's own files, under the user's signature.

The client verifies the drop, commits its file with the drop's id in the metadata, records on this
machine that the drop was accepted, and then asks the server to delete it. In this order, an
interruption loses no drop and makes no second file: the client recognises a drop that it has
accepted by the record or, if the record is missing, by the file in `inbox/`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fsclient.inbox.fetch import fetched
from fsclient.inbox.listing import PendingDrop, remove
from fsclient.session.session import Session
from fsclient.transfer.local.locks import lock
from fsclient.transfer.put import ensure_folder
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.up.batch import BatchUploader, NotCommittedError
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.trust.sightings import accepted as sighting
from fsproto.errors import ConflictError, ExistsError, FsError, Unreachable
from fsproto.limits import MAX_NAME_BYTES
from fsproto.names import RemotePath
from fsproto.sealed.manifest import dropped_of
from fsproto.types import DropId

_RACES = 8
_MOST_NUMBERS = 10_000


@dataclass(frozen=True)
class AcceptedDrop:
    """The result of accepting a drop."""

    name: str
    """The name in the sender's note."""
    path: RemotePath | None
    """The path of the new file; None for a drop that was accepted before and is only deleted."""
    size: int


class InboxAccept:
    """One `inbox accept` command."""

    def __init__(self, session: Session, progress: Progress, folder: Path) -> None:
        """`folder` holds the sealed content during verification."""
        self._session = session
        self._progress = progress
        self._folder = folder
        self._known: dict[RemotePath, set[DropId]] = {}
        """The drops that files in folders for accepted files name, by folder."""
        self._stored: dict[DropId, RemotePath] = {}
        """The files of this command, by their drops, which may still have to be deleted."""

    def accept(self, one: PendingDrop) -> AcceptedDrop:
        """Accept a drop; raise an error and store no file if it cannot be verified.

        If the connection is lost and made again, start over: a file that was stored before is
        recognised in `inbox/`.
        """
        while True:
            try:
                accepted = self._accept(one)
            except Unreachable as lost:
                lost.hint = (
                    "Give the same command again: what was accepted stays, the rest follows."
                )
                self._session.retry.recover(lost)
                self._known = {}
                continue
            self._session.retry.progressed()
            return accepted

    def _accept(self, one: PendingDrop) -> AcceptedDrop:
        note = one.opened.note
        path = self._stored.get(one.drop)
        if path is None and not (one.known or one.drop in self._accepted(one.folder)):
            path = self._stored[one.drop] = self._put(one)
        self._done(one)
        return AcceptedDrop(note.name, path, note.size)

    def _accepted(self, folder: RemotePath) -> set[DropId]:
        """Return the ids of drops that files in a folder, at any depth, have in their metadata."""
        known = self._known.get(folder)
        if known is None:
            tree, known = self._session.tree, self._known.setdefault(folder, set())
            found = tree.reach(folder)[-1]
            folders: deque[tuple[TreeNode, None]] = deque()
            if found.path.parts == folder.parts and found.is_folder:
                folders.append((found, None))
            for _, inside in tree.listings(folders):
                if isinstance(inside, FsError):
                    raise inside
                folders.extend((child, None) for child in inside.nodes if child.is_folder)
                known |= {d.drop for c in inside.nodes if (d := dropped_of(c.metadata))}
        return known

    def _done(self, one: PendingDrop) -> None:
        self._session.memory.remember([sighting(one.drop)])
        if one.folder in self._known:
            self._known[one.folder].add(one.drop)
        remove(self._session, [one.drop])

    def _put(self, one: PendingDrop) -> RemotePath:
        *above, name = one.opened.parts
        with fetched(self._session, one.opened, self._folder) as plain:
            for _ in range(_RACES):
                folder = self._into(one.folder, above)
                free = self._free(folder, name)
                uploader = BatchUploader(self._session.caching(), self._progress)
                try:
                    uploader.put(folder.keyed, free, None, plain, path=free, dropped=one.origin)
                    uploader.flush()
                except NotCommittedError as failed:
                    if not isinstance(failed.error, ConflictError):
                        raise failed.error from None
                    plain.begin_again()  # another session has just used this name
                    continue
                finally:
                    uploader.close()
                return folder.path.child(free)
        raise ConflictError("Too many others change the inbox right now; try again.")

    def _into(self, top: RemotePath, names: list[str]) -> TreeNode:
        """Return the folder for a drop below another folder, created if missing.

        If a file has the name already, the folder gets a numbered one.
        """
        folder = ensure_folder(self._session, top)
        for name in names:
            for candidate in numbered(name):
                found = self._session.tree.look(folder, [candidate])[candidate]
                if found is None:
                    found = self._made(folder, candidate)
                if found.is_folder:
                    folder = found
                    break
        return folder

    def _made(self, folder: TreeNode, name: str) -> TreeNode:
        changes = Committer(self._session.tree)
        changes.make_folder(folder.keyed, name, time.time_ns())
        with suppress(ExistsError):  # another session has just used this name
            changes.commit()
        return self._session.tree.find(folder.path.child(name))

    def _free(self, folder: TreeNode, name: str) -> str:
        look = self._session.tree.look
        return next(one for one in numbered(name) if look(folder, [one])[one] is None)


def numbered(name: str) -> Iterator[str]:
    """Yield a name, then numbered names: `a.pdf`, `a (2).pdf`, `a (3).pdf`."""
    yield name
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    for number in range(2, _MOST_NUMBERS):
        end = f" ({number}){dot}{ending}"
        if len(end.encode()) >= MAX_NAME_BYTES:  # an ending that leaves no room
            stem, end = name, f" ({number})"
        kept = stem.encode()[: MAX_NAME_BYTES - len(end.encode())].decode(errors="ignore")
        yield kept + end
    raise ConflictError(f"There are too many files of the name '{name}' in the inbox.")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the profile's lock on the inbox; `ConflictError` if another command accepts drops."""
    fd = lock(folder / "inbox.lock", make=True)
    if fd is None and os.name != "nt":
        raise ConflictError("Another command of this profile accepts drops just now.")
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)

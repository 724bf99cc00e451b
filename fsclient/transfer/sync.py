"""The `sync` command: its direction, and the synchronisation of two folders."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fsclient.transfer.down.tree import TreeDownload
from fsclient.transfer.get import place_for as local_place_for
from fsclient.transfer.local.files import FOLDER, kind_at, sizes
from fsclient.transfer.pairs.branch import heads_of
from fsclient.transfer.pairs.guard import SyncGuard
from fsclient.transfer.pairs.still import StillFolders
from fsclient.transfer.pairs.store import PairStore
from fsclient.transfer.put import place_for
from fsclient.transfer.run import TransferRun
from fsclient.transfer.up.target import place_of
from fsclient.transfer.up.tree import TreeUpload
from fsclient.tree.nodes import check_signed, must_be_folder
from fsproto.errors import ExistsError, FsError, NotFoundError, UsageError
from fsproto.names import RemotePath, for_terminal, parse_path

G = TypeVar("G", bound=SyncGuard)


@dataclass(frozen=True)
class SyncPair:
    """The two folders; `down` makes the local one like the remote one."""

    local: str
    remote: RemotePath
    down: bool


def which_way(first: str, second: str, *, down: bool, base: RemotePath | None = None) -> SyncPair:
    """Return the pair: the local path is first, unless only the first path names an owner.

    `base` is the shell's current remote folder.
    """
    if not first or not second:
        raise UsageError("An empty path names nothing; '.' is the current folder.")
    if _has_owner(first):
        if _has_owner(second):
            raise UsageError(
                "Both paths are remote ones.", hint="A local name with a ':' is written './a:b'."
            )
        return SyncPair(second, parse_path(first, base), down=True)
    return SyncPair(first, parse_path(second, base), down=down)


def _has_owner(path: str) -> bool:
    if os.name == "nt" and path[1:2] == ":":  # a drive
        return False
    try:
        return parse_path(path).owner is not None
    except FsError:
        return False


@contextmanager
def guarded(store: PairStore, make: Callable[..., G], *, dry_run: bool) -> Iterator[G]:
    """Yield the guard of one sync; store what both sides have at the end, however it ends.

    `make` takes the state that the last sync left, and as `noted` what to call with a newer one. A
    dry run stores nothing and locks nothing.
    """
    if dry_run:
        yield make(store.load())
        return
    try:
        store.lock()
        guard = make(store.load(), noted=store.save_if_due)
        try:
            yield guard
        finally:
            if guard.state.complete or guard.state.files:
                store.save(guard.state)
    finally:
        store.close()


class Sync:
    """One `sync` command."""

    def __init__(self, task: TransferRun, guard: SyncGuard | None = None) -> None:
        """`guard` knows what the last sync left; without one, all folders are listed."""
        self._task = task
        self._guard = guard
        self._session = task.session
        self._actions = task.actions

    def up(self, way: SyncPair) -> str:
        """Make the remote folder like the local one; return a phrase for the destination."""
        path, remote = Path(way.local), way.remote
        self._must_be_local_folder(way)
        found = self._session.tree.reach(remote)
        is_there = len(found[-1].path.parts) == len(remote.parts)
        must_be_folder(found[-1])
        if not self._actions.dry_run:
            self._task.progress.look_ahead(sizes(path, self._task.rules.filters))
        still = self._still("up")
        with TreeUpload(self._task, still) as up:
            if not remote.parts:  # the root of a tree always exists and has no time
                up.top(found[0], path)
            elif is_there:
                up.folder(place_of(found[-2]), path, remote.name, found[-1])
            else:
                parent = place_for(self._task, remote.parent)
                up.folder(parent, path, remote.name, None)
            up.finish()
        self._finish(still)
        return f"into {remote}/" if remote.parts else ""

    def down(self, way: SyncPair) -> str:
        """Make the local folder like the remote one; return a phrase for the destination."""
        path = Path(way.local)
        found = must_be_folder(self._session.tree.find(way.remote))
        if kind_at(path, follow=True) not in (FOLDER, None):
            raise ExistsError(f"The local '{for_terminal(way.local)}' is not a folder.")
        if self._task.rules.delete:
            check_signed(found, "--delete")
        local_place_for(self._task, path.parent)
        still = self._still("down")
        down = TreeDownload(self._task, still)
        down.add(found, path, follow=True)
        down.finish()
        self._finish(still)
        return "" if path == Path() else f"into {way.local.rstrip('/')}/"

    def _still(self, made_by: str) -> StillFolders | None:
        if self._guard is None:
            return None
        use = not self._task.rules.checksum
        return StillFolders(self._session.tree, self._guard.before, made_by, use=use)

    def _finish(self, still: StillFolders | None) -> None:
        """Note that the sync is complete, if nothing failed."""
        followed = self._session.tree.followed
        if self._guard and still and followed and not self._task.failures:
            nodes = [folder.node for folder in self._guard.state.folders.values()]
            heads = heads_of(self._session.context.memory, nodes)
            self._guard.finish(heads, still, followed, whole=not self._task.rules.filters)

    def _must_be_local_folder(self, way: SyncPair) -> None:
        kind = kind_at(Path(way.local), follow=True)
        shown = for_terminal(way.local)
        if kind is None:
            hint = None
            if len(self._session.tree.reach(way.remote)[-1].path.parts) == len(way.remote.parts):
                command = shlex.join(["fsclient", "sync", "--down", way.local, str(way.remote)])
                hint = f"To make it like the remote one: {for_terminal(command)}"
            raise NotFoundError(f"There is no local folder '{shown}'.", hint=hint)
        if kind != FOLDER:
            raise UsageError(
                f"The local '{shown}' is not a folder.", hint="'fsclient put' puts single files."
            )

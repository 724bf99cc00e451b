"""The `sync` command: its direction, and the synchronisation of two folders."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from fsclient.transfer.down.tree import TreeDownload
from fsclient.transfer.get import place_for as local_place_for
from fsclient.transfer.local.files import FOLDER, children, kind_at
from fsclient.transfer.put import place_for
from fsclient.transfer.run import TransferRun
from fsclient.transfer.up.tree import TreeUpload, place_of
from fsclient.tree.nodes import must_be_folder
from fsproto.errors import ExistsError, FsError, NotFoundError, UsageError
from fsproto.names import RemotePath, for_terminal, parse_path


@dataclass(frozen=True)
class SyncPair:
    """The two folders; `down` makes the local one like the remote one."""

    local: str
    remote: RemotePath
    down: bool


def which_way(first: str, second: str, *, down: bool) -> SyncPair:
    """Return the pair: the local path is first, unless only the first path names an owner."""
    if not first or not second:
        raise UsageError("An empty path names nothing; '.' is the current folder.")
    if _has_owner(first):
        if _has_owner(second):
            raise UsageError(
                "Both paths are remote ones.", hint="A local name with a ':' is written './a:b'."
            )
        return SyncPair(second, parse_path(first), down=True)
    return SyncPair(first, parse_path(second), down=down)


def _has_owner(path: str) -> bool:
    if os.name == "nt" and path[1:2] == ":":  # a drive
        return False
    try:
        return parse_path(path).owner is not None
    except FsError:
        return False


class Sync:
    """One `sync` command."""

    def __init__(self, task: TransferRun) -> None:
        self._task = task
        self._session = task.session
        self._actions = task.actions

    def up(self, way: SyncPair) -> str:
        """Make the remote folder like the local one; return a phrase for the destination."""
        path, remote = Path(way.local), way.remote
        self._must_be_local_folder(way)
        found = self._session.tree.reach(remote)
        is_there = len(found[-1].path.parts) == len(remote.parts)
        must_be_folder(found[-1])
        with TreeUpload(self._task) as up:
            if not remote.parts:  # the root of a tree always exists and has no time
                up.contents(place_of(found[0]), path, children(path))
            elif is_there:
                up.folder(place_of(found[-2]), path, remote.name, found[-1])
            else:
                parent = place_for(self._session, remote.parent, self._actions)
                up.folder(parent, path, remote.name, None)
            up.finish()
        return f"into {remote}/" if remote.parts else ""

    def down(self, way: SyncPair) -> str:
        """Make the local folder like the remote one; return a phrase for the destination."""
        path = Path(way.local)
        found = must_be_folder(self._session.tree.find(way.remote))
        if kind_at(path, follow=True) not in (FOLDER, None):
            raise ExistsError(f"The local '{for_terminal(way.local)}' is not a folder.")
        local_place_for(path.parent, self._actions)
        down = TreeDownload(self._task)
        down.add(found, path, follow=True)
        down.finish()
        return "" if path == Path() else f"into {way.local.rstrip('/')}/"

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

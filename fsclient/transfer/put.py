"""What a `put` means: where each local file goes, and which folders must be made for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fsclient.changes import Changes
from fsclient.errors import local_errors
from fsclient.session import Session
from fsclient.transfer.failures import Failures
from fsclient.transfer.localfs import Child, LocalFacts, Source, children, fill, is_folder
from fsclient.transfer.progress import Progress
from fsclient.transfer.upload import Uploader
from fsclient.tree import Located, must_be_folder
from fsproto.errors import ConflictError, ExistsError, FsError, UsageError
from fsproto.keys.tree import KeyedNode
from fsproto.names import RemotePath, clean_name

_NAMES_AT_ONCE = 500
_RACES = 8
STDIN = "-"


@dataclass(frozen=True)
class _Place:
    """A folder to put into; one that this very command makes holds nothing yet."""

    keyed: KeyedNode
    path: RemotePath
    located: Located | None


class Put:
    """One `put` command."""

    def __init__(self, session: Session, progress: Progress, failures: Failures) -> None:
        """Take where to put, and whom to tell."""
        self._session = session
        self._progress = progress
        self._failures = failures
        self._uploader = Uploader(session, progress)

    def run(self, sources: Sequence[str], target: RemotePath) -> None:
        """Put local files and folders; into `target` if it is a folder, else as `target`."""
        try:
            found = self._session.tree.reach(target)[-1]
            there = len(found.path.parts) == len(target.parts)
            into = target.names_folder or len(sources) > 1 or (there and found.is_folder)
            folder = target if into else target.parent
            place = self._place(ensure_folder(self._session, folder))
            for source in sources:
                try:
                    self._put(place, source, "" if into else target.name)
                except FsError as error:
                    self._failures.note(error)
            self._uploader.flush()
        finally:
            self._uploader.close()

    def _put(self, place: _Place, source: str, name: str) -> None:
        if source == STDIN:
            if not name:
                raise UsageError("What is read from a pipe needs a name: fsclient put - NAME")
            self._put_pipe(place, name)
            return
        path = Path(source)
        name = clean_name(name or path.name or path.resolve().name)
        before = self._existing(place, [name])[name]
        if is_folder(path):
            self._put_folder(place, path, name, before)
        else:
            self._put_file(place, path, name, before)

    def _put_pipe(self, place: _Place, name: str) -> None:
        before = self._existing(place, [name])[name]
        self._uploader.put(place.keyed, name, _must_be_file(before), _Pipe())

    def _put_file(self, place: _Place, path: Path, name: str, before: Located | None) -> None:
        before = _must_be_file(before)
        source = Source(path)
        try:
            self._progress.expect(source.facts.size)
            self._uploader.put(place.keyed, name, before, source)
        finally:
            source.close()

    def _put_folder(self, place: _Place, path: Path, name: str, before: Located | None) -> None:
        inside = children(path)
        if before is not None:
            here = self._place(must_be_folder(before))
        else:
            with local_errors(path):
                mtime_ns = path.stat().st_mtime_ns
            made = self._uploader.changes.make_folder(place.keyed, name, mtime_ns)
            here = _Place(made, place.path.child(name), None)
            self._uploader.flush_if_full()
        named = self._named(inside)
        for at in range(0, len(named), _NAMES_AT_ONCE):
            some = named[at : at + _NAMES_AT_ONCE]
            known = self._existing(here, [clean for clean, _ in some])
            for clean, child in some:
                put = self._put_folder if child.kind == "folder" else self._put_file
                try:
                    put(here, child.path, clean, known[clean])
                except ConflictError:
                    raise
                except FsError as error:
                    self._failures.note(error)

    def _named(self, inside: list[Child]) -> list[tuple[str, Child]]:
        """Return what of a folder can be put, each under the name it will have."""
        named: dict[str, Child] = {}
        for child in inside:
            if child.kind not in ("file", "folder"):
                self._failures.skip(str(child.path), child.kind)
                continue
            try:
                clean = clean_name(child.name)
                if clean in named:
                    raise ExistsError(
                        f"'{child.path}' and another file there have the same name once "
                        "accents are written in one way; only the first is put."
                    )
                named[clean] = child
            except FsError as error:
                self._failures.note(error)
        return list(named.items())

    def _existing(self, place: _Place, names: list[str]) -> dict[str, Located | None]:
        if place.located is None:
            return dict.fromkeys(names)
        return self._session.tree.look(place.located, names)

    def _place(self, folder: Located) -> _Place:
        return _Place(folder.keyed, folder.path, folder)


class _Pipe:
    """Standard input: of unknown length, and over once it was read."""

    def __init__(self) -> None:
        self._file = sys.stdin.buffer
        self.facts = LocalFacts(-1, time.time_ns(), executable=False)

    def read_into(self, room: memoryview) -> int:
        return fill(room, self._file)

    def check_unchanged(self, size: int) -> None:
        """A pipe cannot change behind its reader."""


def _must_be_file(before: Located | None) -> Located | None:
    if before is not None and before.is_folder:
        raise ExistsError(f"'{before.path}' is a folder; a file cannot take its place.")
    return before


def ensure_folder(session: Session, path: RemotePath) -> Located:
    """Return the folder at `path`, making what is missing of it."""
    for _ in range(_RACES):
        found = must_be_folder(session.tree.reach(path)[-1])
        missing = path.parts[len(found.path.parts) :]
        if not missing:
            return found
        changes, keyed = Changes(session.tree), found.keyed
        for name in missing:
            keyed = changes.make_folder(keyed, name, time.time_ns())
        try:
            changes.commit()
        except ExistsError:
            continue  # somebody else has made it at the same moment, which is as good
    return must_be_folder(session.tree.find(path))

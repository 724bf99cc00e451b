"""What a `put` means: where each local file goes, and which folders must be made for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsclient.changes import Changes
from fsclient.errors import local_errors
from fsclient.session import Session
from fsclient.transfer.failures import Failures
from fsclient.transfer.localfs import Child, LocalFacts, Source, children, is_folder, sizes
from fsclient.transfer.progress import Progress
from fsclient.transfer.upload import NotCommittedError, Uploader
from fsclient.tree import Located, must_be_folder
from fsclient.ui import binary_stdin
from fsproto.errors import ExistsError, FsError, InvalidNameError, NotFoundError, UsageError
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_INLINE_BLOB, MAX_PATH_PARTS
from fsproto.names import RemotePath, clean_name, for_terminal

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

    def run(self, sources: Sequence[str], target: RemotePath) -> str:
        """Put local files and folders; into `target` if it is a folder, else as `target`.

        Returns in words where they went.
        """
        try:
            into = self._goes_into(target, several=len(sources) > 1)
            found = [source for source in sources if self._is_there(source)]
            if found:
                self._progress.look_ahead(_sizes(found))
                folder = ensure_folder(self._session, target if into else target.parent)
                self._put_all(self._place(folder), found, "" if into else target.name)
                self._uploader.flush()
        except NotCommittedError as failed:
            if failed.files > 1:
                failed.error.hint = f"None of {failed.files} files that went with it was put."
            raise failed.error from None
        finally:
            self._uploader.close()
        if not into:
            return f"as {target}"
        return f"into {target}/" if target.parts else ""

    def _goes_into(self, target: RemotePath, *, several: bool) -> bool:
        """Tell whether the target is a folder to put into, rather than the new name."""
        found = self._session.tree.reach(target)[-1]
        there = len(found.path.parts) == len(target.parts)
        into = target.names_folder or (there and found.is_folder)
        if several and not into:
            if there:
                must_be_folder(found)
            raise NotFoundError(
                f"There is no folder '{target}' for the others to go into.",
                hint=f"The last path is where they go; '{target}/' has the folder made.",
            )
        return into

    def _is_there(self, source: str) -> bool:
        try:
            if source != STDIN:
                is_folder(Path(source))
        except FsError as error:
            self._failures.note(error)
            return False
        return True

    def _put_all(self, place: _Place, sources: Sequence[str], name: str) -> None:
        taken: set[str] = set()
        for source in sources:
            try:
                called = name or self._name(source)
                if called in taken:
                    raise ExistsError(
                        f"The local '{for_terminal(source)}' would replace what was put under the "
                        "same name just before."
                    )
                taken.add(called)
                self._put(place, source, called)
            except FsError as error:
                self._failures.note(error)

    def _name(self, source: str) -> str:
        """Return the name that a source brings along."""
        if source == STDIN:
            raise UsageError("What is read from a pipe needs a name: fsclient put - NAME")
        path = Path(source)
        # `.` and `d/..` are called as the folder is that they lead to.
        name = path.name if path.name not in ("", "..") else path.resolve().name
        if not name:
            raise UsageError(
                f"'{for_terminal(source)}' has no name of its own.",
                hint=f"Give it one: fsclient put {for_terminal(source)} NAME",
            )
        return _clean(path, name)

    def _put(self, place: _Place, source: str, name: str) -> None:
        before = self._existing(place, [name])[name]
        if source == STDIN:
            pipe = _Pipe()
            self._progress.expect(pipe.facts.size)
            shown = str(place.path.child(name))
            self._uploader.put(place.keyed, name, _must_be_file(before), pipe, path=shown)
        elif is_folder(Path(source)):
            self._put_folder(place, Path(source), name, before)
        else:
            self._put_file(place, Path(source), name, before)

    def _put_file(self, place: _Place, path: Path, name: str, before: Located | None) -> None:
        before = _must_be_file(before)
        source = Source(path)
        try:
            self._progress.expect(source.facts.size)
            shown = str(place.path.child(name))
            self._uploader.put(place.keyed, name, before, source, path=shown)
        finally:
            source.close()

    def _put_folder(self, place: _Place, path: Path, name: str, before: Located | None) -> None:
        inside = children(path)
        if len(place.path.parts) >= MAX_PATH_PARTS:
            raise InvalidNameError(
                f"The local '{for_terminal(str(path))}' lies deeper than {MAX_PATH_PARTS} folders."
            )
        if before is not None:
            here = self._place(must_be_folder(before))
        else:
            with local_errors(path):
                mtime_ns = path.stat().st_mtime_ns
            made = self._uploader.changes.make_folder(place.keyed, name, mtime_ns)
            here = _Place(made, place.path.child(name), None)
            self._progress.folder_done()
            self._uploader.flush_if_full()
        named = self._named(inside)
        for at in range(0, len(named), _NAMES_AT_ONCE):
            some = named[at : at + _NAMES_AT_ONCE]
            known = self._existing(here, [clean for clean, _ in some])
            for clean, child in some:
                put = self._put_folder if child.kind == "folder" else self._put_file
                try:
                    put(here, child.path, clean, known[clean])
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
                clean = _clean(child.path, child.name)
                if clean in named:
                    raise ExistsError(
                        f"The local '{for_terminal(str(child.path))}' has the same name as another "
                        "file there, but for how accents are written; only the first is put."
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
    """Standard input: over once it was read, and of unknown length unless it is short."""

    def __init__(self) -> None:
        self._file = binary_stdin()
        self._ended = False
        self._head = memoryview(bytearray(MAX_INLINE_BLOB))
        self._head = self._head[: self._fill(self._head)]
        size = len(self._head) if self._ended else -1
        self.facts = LocalFacts(size, time.time_ns(), executable=False)

    def read_into(self, room: memoryview) -> int:
        count = min(len(room), len(self._head))
        room[:count], self._head = self._head[:count], self._head[count:]
        return count + self._fill(room[count:])

    def check_unchanged(self, size: int) -> None:
        """A pipe cannot change behind its reader."""

    def _fill(self, room: memoryview) -> int:
        if self._ended:  # a terminal would have to be told so again
            return 0
        with local_errors("Standard input"):
            count: int = self._file.readinto(room)  # type: ignore[attr-defined]
        self._ended = count < len(room)  # what is buffered is filled, but for its end
        return count


def _sizes(sources: Sequence[str]) -> Iterator[int]:
    """Give the sizes of all local files under what is put, -1 for a pipe."""
    for source in sources:
        if source == STDIN:
            yield -1
        else:
            yield from sizes(Path(source))


def _clean(path: Path, name: str) -> str:
    """Return the name that a local file or folder will have."""
    try:
        return clean_name(name)
    except InvalidNameError as error:
        raise InvalidNameError(
            f"The local '{for_terminal(str(path))}' cannot be put under its name.",
            hint=error.sentence,
        ) from None


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

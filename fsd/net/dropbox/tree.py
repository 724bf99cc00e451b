"""The view of one session on the drop box: its own drops, as files in folders.

Folders are only parts of names; an empty folder exists only in the memory of the session.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

from fsd.services.drops.model import SessionDrop
from fsd.services.drops.session import DropSession, IncomingDrop
from fskit.file_names import Spellings
from fskit.sftp.codes import OpenFlag
from fskit.sftp.packets import Attributes
from fskit.sftp.status import UnsupportedError
from fsproto.errors import ConflictError, ExistsError, NotAllowedError, NotFoundError
from fsproto.names import canonical_name, clean_name, drop_parts, for_terminal

Place = tuple[str, ...]
"""Names from the top down, as a client spelled them; none for the top itself."""

_NS = 1_000_000_000
_FILE, _FOLDER = stat.S_IFREG | 0o600, stat.S_IFDIR | 0o700


@dataclass(frozen=True)
class DropAttributes:
    """The attributes of a file or folder."""

    mode: int
    """`st_mode`: the kind of file, and rights."""
    size: int
    mtime_ns: int

    @property
    def is_folder(self) -> bool:
        """Return whether this is a folder."""
        return stat.S_ISDIR(self.mode)

    def attributes(self) -> Attributes:
        """Return the attributes for a client; user id and group id say nothing about an owner."""
        seconds = self.mtime_ns // _NS
        return Attributes(self.size, (0, 0), self.mode, (seconds, seconds))


def place_of(path: str) -> Place:
    """Return the place that a path names; the parent of the top folder is the top folder.

    `InvalidNameError` for a part that cannot be a name.
    """
    place: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del place[-1:]
        elif part not in ("", "."):
            clean_name(part)
            place.append(part)
    return tuple(place)


def path_of(place: Place) -> str:
    """Return the path of a place."""
    return "/" + "/".join(place)


class DropTree:
    """The files and folders of one session, as one of its connections sees them.

    Names are stored in NFC; the connection sees each name in the spelling that it used.
    """

    def __init__(self, box: DropSession, now_ns: int) -> None:
        """Take the session's drop box, and the modification time of folders."""
        self._box = box
        self._now_ns = now_ns
        self._spellings = Spellings(box.spellings)

    # --- reads

    def facts(self, place: Place) -> DropAttributes:
        """Return the attributes of a place; `NotFoundError` if the session has nothing there."""
        found = self.stored_facts(_stored(place))
        self._spellings.use(place)
        return found

    def stored_facts(self, place: Place) -> DropAttributes:
        """Return the attributes of a place in NFC, which the client did not spell."""
        found = self._file(place)
        if found is not None:
            return found
        if self._is_folder(place):
            return DropAttributes(_FOLDER, 0, self._now_ns)
        raise _nothing(place)

    def listing(self, place: Place) -> list[tuple[str, DropAttributes]]:
        """Return the entries of a folder, by name; `NotFoundError` if there is no such folder."""
        folder = _stored(place)
        if not self._is_folder(folder):
            raise _nothing(place)
        self._spellings.use(place)
        shown = {self._spellings.show((*folder, name)): name for name in self._names_in(folder)}
        return [(name, self.stored_facts((*folder, shown[name]))) for name in sorted(shown)]

    def _names_in(self, folder: Place) -> set[str]:
        deep = len(folder)
        return {one[deep] for one in self._all() if len(one) > deep and one[:deep] == folder}

    def _file(self, place: Place) -> DropAttributes | None:
        match self._box.found("/".join(place)):
            case IncomingDrop() as writing:
                return _facts_of(writing)
            case SessionDrop() as mine:
                return DropAttributes(_FILE, mine.note.size, mine.note.mtime_ns)
        return None

    def _all(self) -> set[Place]:
        names = self._box.mine().keys() | self._box.under_way().keys()
        return {tuple(name.split("/")) for name in names | self._box.made()}

    def _is_folder(self, place: Place) -> bool:
        return not place or self._box.has_folder("/".join(place))

    # --- changes

    def make_folder(self, place: Place) -> None:
        """Make a folder; `ExistsError` if there is something."""
        try:
            self._check_free(_stored(place))
        except ExistsError:
            self._spellings.use(place, written=True)  # a mirror writes into it all the same
            raise
        self._box.make_folder("/".join(_stored(place)))
        self._spellings.use(place, written=True)

    def remove_folder(self, place: Place) -> None:
        """Remove a folder; `ConflictError` if there is something in it."""
        stored = self._known(place)
        if self._file(stored) is not None or not self._is_folder(stored):
            raise _nothing(place)
        if not place or self._names_in(stored):
            raise ConflictError(f"The folder '{for_terminal(path_of(place))}' is not empty.")
        self._box.forget_folder("/".join(stored))
        self._spellings.forget(stored)

    def remove(self, place: Place) -> None:
        """Remove a file that this session has dropped."""
        stored = self._known(place)
        if self._file(stored) is None:
            raise _nothing(place)
        self._box.remove("/".join(stored))
        self._spellings.forget(stored)

    def rename(self, old: Place, new: Place, *, replacing: bool) -> None:
        """Rename a file, or a folder with everything in it."""
        self._rename(self._known(old), _stored(new), replacing=replacing)
        self._spellings.move(_stored(old), _stored(new))
        self._spellings.use(new, written=True)

    def _rename(self, old: Place, new: Place, *, replacing: bool) -> None:
        facts = self.stored_facts(old)
        if old == new:
            return
        if facts.is_folder:
            self._rename_folder(old, new)
            return
        self._check_above(new)
        if self._file(new) is None:
            self._check_free(new)
        self._box.rename({"/".join(old): "/".join(new)}, replacing=replacing)

    def _rename_folder(self, old: Place, new: Place) -> None:
        if not old or new[: len(old)] == old:
            raise NotAllowedError("A folder cannot be moved into itself.")
        self._check_free(new)
        services = [one for one in self._all() if one[: len(old)] == old]
        mine = self._box.mine()
        moved = {one: (*new, *one[len(old) :]) for one in services}
        names = {"/".join(a): "/".join(b) for a, b in moved.items() if "/".join(a) in mine}
        if any("/".join(one) in self._box.under_way() for one in services):
            raise ConflictError(
                f"A file in the folder '{for_terminal(path_of(old))}' is being written; "
                "it can be renamed when that is complete."
            )
        if names:
            self._box.rename(names)
        for was, now in moved.items():
            if self._file(now) is None:
                self._box.forget_folder("/".join(was))
                self._box.make_folder("/".join(now))
        self._box.forget_folder("/".join(old))
        self._box.make_folder("/".join(new))

    def open(self, place: Place, flags: OpenFlag, wanted: Attributes) -> IncomingDrop:
        """Start a drop; an existing one can only be replaced, never read or resumed."""
        if not flags & OpenFlag.WRITE:
            raise NotAllowedError("Dropped files cannot be read back.")
        stored = _stored(place)
        there = self._file(stored)
        if there is None and not flags & OpenFlag.CREATE:
            raise _nothing(place)
        if there is None:
            self._check_free(stored)
        elif flags & OpenFlag.EXCLUSIVE:
            raise ExistsError(f"There is a '{for_terminal(path_of(place))}' already.")
        elif not flags & OpenFlag.TRUNCATE:
            raise NotAllowedError(
                "A complete drop cannot be changed.",
                hint="Send all of it again, or remove it first.",
            )
        one = self._box.begin("/".join(stored))
        self._spellings.use(place, written=True)
        self.describe(one, Attributes(times=wanted.times))
        return one

    def set_attributes(self, place: Place, wanted: Attributes) -> None:
        """Set the time of a file; ignore permissions, and refuse another size."""
        facts = self.facts(place)
        name = "/".join(_stored(place))
        writing = self._box.under_way().get(name)
        if writing is not None:
            self.describe(writing, wanted)
            return
        if wanted.size is not None and (facts.is_folder or wanted.size != facts.size):
            raise _no_size()
        if wanted.times is not None and not facts.is_folder:
            self._box.set_time(name, wanted.times[1] * _NS)

    def describe(self, one: IncomingDrop, wanted: Attributes) -> None:
        """Set the attributes of a file that is being written."""
        if wanted.size is not None and wanted.size != one.size:
            raise _no_size()
        if wanted.times is not None:
            one.mtime_ns = wanted.times[1] * _NS

    def _known(self, place: Place) -> Place:
        """Return a place in NFC; `NotFoundError` if the client knows it in another spelling."""
        if not self._spellings.knows(place):
            raise _nothing(place)
        return _stored(place)

    def _check_free(self, place: Place) -> None:
        """Raise unless something of that name can be made."""
        if not place or self._file(place) is not None or self._is_folder(place):
            raise ExistsError(f"There is a '{for_terminal(path_of(place))}' already.")
        drop_parts("/".join(place))
        self._check_above(place)

    def _check_above(self, place: Place) -> None:
        if any(self._file(place[:end]) is not None for end in range(1, len(place))):
            raise NotFoundError("A part of this path is a file.")


def _stored(place: Place) -> Place:
    """Return a place with its names in NFC, as they are stored."""
    return tuple(map(canonical_name, place))


def _facts_of(writing: IncomingDrop) -> DropAttributes:
    set_ns = writing.mtime_ns
    return DropAttributes(
        _FILE, writing.size, writing.began_ms * 1_000_000 if set_ns is None else set_ns
    )


def _nothing(place: Place) -> NotFoundError:
    return NotFoundError(
        f"There is no '{for_terminal(path_of(place))}' here: a session sees only its own drops."
    )


def _no_size() -> UnsupportedError:
    return UnsupportedError("The size of a drop cannot be changed; it is the number of bytes sent.")

"""Where the open files of one client are: renames and removals move them, as POSIX has it.

An open file keeps its content whatever happens to its path. A rename of the file, or of a folder
above it, gives it another path; a removal or a replacement leaves it without one.
"""

from __future__ import annotations

import threading

from fsclient.gateway.handles import ReadHandle
from fsclient.gateway.open_write import OpenWrite
from fsclient.gateway.paths import GatewayPath


class OpenPlaces:
    """The paths of the open files of one client; any of its threads may call."""

    def __init__(self) -> None:
        self.change = threading.Condition()
        """Held while several calls belong together; notified when a file is closed."""
        self._writings: dict[GatewayPath, OpenWrite] = {}
        self._readers: set[ReadHandle] = set()

    # --- lookup

    def written_at(self, place: GatewayPath) -> OpenWrite | None:
        """Return the file that is being written at a path."""
        with self.change:
            return self._writings.get(place)

    def written_in(self, folder: GatewayPath) -> list[OpenWrite]:
        """Return the files that are being written directly in a folder."""
        with self.change:
            return [one for one in self._writings.values() if one.place.parent == folder]

    @property
    def has_new(self) -> bool:
        """Return whether a file is being written that was never published."""
        with self.change:
            return any(one.base is None for one in self._writings.values())

    def settle(self, place: GatewayPath) -> None:
        """Wait until files at, above or below a path that are being published are done."""
        with self.change:
            while any(
                one.is_publishing and (one.place.within(place) or place.within(one.place))
                for one in self._writings.values()
            ):
                self.change.wait()

    # --- open and close

    def add(self, writing: OpenWrite) -> OpenWrite:
        """Add a file that is being written; return the earlier one in its place, if any.

        After that, handles of this client that read the file see the written data.
        """
        with self.change:
            known = self._writings.setdefault(writing.place, writing)
            if known is writing:
                for reader in self._readers:
                    if reader.place == writing.place and _same_file(reader, writing):
                        self._attach(reader, writing)
            return known

    def add_reader(self, reader: ReadHandle) -> None:
        """Add a handle that reads; it sees what its client writes to the file."""
        with self.change:
            self._readers.add(reader)
            if isinstance(reader.content, OpenWrite):
                reader.content.readers += 1

    def remove_reader(self, reader: ReadHandle) -> None:
        """Remove a handle, and discard its content if no other handle needs it."""
        with self.change:
            self._readers.discard(reader)
            self._detach(reader)

    def remove(self, writing: OpenWrite) -> None:
        """Remove a file that no handle writes any longer."""
        with self.change:
            writing.closing = False
            if self._writings.get(writing.place) is writing:
                del self._writings[writing.place]
            self.release(writing)

    def release(self, writing: OpenWrite) -> None:
        """Discard the content of a file that was published, unless it is still needed."""
        with self.change:
            self.change.notify_all()
            if writing.is_unused:
                writing.close()

    def readers_at(self, place: GatewayPath) -> list[ReadHandle]:
        """Return the handles that read the file at a path."""
        with self.change:
            return [one for one in self._readers if one.place == place]

    # --- renames and removals

    def unlinked(self, place: GatewayPath) -> None:
        """Record that a file was removed or replaced: its open handles have no path any longer."""
        with self.change:
            writing = self._writings.pop(place, None)
            for reader in self._readers:
                if reader.place == place:
                    reader.place = None
        if writing is not None:
            writing.orphaned = True
            writing.give_up_early()

    def moved(self, old: GatewayPath, new: GatewayPath) -> None:
        """Record that a file or folder has moved, and has replaced what was at its new path."""
        with self.change:
            self.unlinked(new)
            for place in [one for one in self._writings if one.within(old)]:
                writing = self._writings.pop(place)
                writing.place = place.moved(old, new)
                self._writings[writing.place] = writing
            for reader in self._readers:
                if reader.place is not None and reader.place.within(old):
                    reader.place = reader.place.moved(old, new)

    # --- with the lock held

    def _attach(self, reader: ReadHandle, writing: OpenWrite) -> None:
        self._detach(reader)
        reader.content = writing
        writing.readers += 1

    def _detach(self, reader: ReadHandle) -> None:
        content = reader.content
        if isinstance(content, OpenWrite):
            content.readers -= 1
            if not content.is_unused:
                return
        content.close()


def _same_file(reader: ReadHandle, writing: OpenWrite) -> bool:
    base = writing.base
    return reader.node is None or base is None or base.keyed.node == reader.node

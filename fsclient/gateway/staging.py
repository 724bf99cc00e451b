"""Staging of a file while it is written: blocks sealed on disk under a key in memory.

    file  = slots of BLOCK + 16 bytes, one for each block that does not fit into memory
    block = AES-256-GCM(key, nonce = u32 0 ‖ u64 count, plaintext, associated data = u64 block)

Why no nonce repeats: the key is drawn for one staged file of one run of the gateway, and `count`
grows with every sealing of a block, even of the same block. The counts are in memory with the key,
so a changed, swapped or older block on the disk is detected. Slots are used in the order in which
blocks are sealed first: the holes of a file take no space on the disk. Where the system
allows it, the file has no name, so it disappears when the gateway ends.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import fill
from fsproto import crypto
from fsproto.errors import FsError, IntegrityError, OutOfSpaceError

BLOCK = 64 * 1024
"""Bytes of plaintext in a block."""
WARM = 128
"""The most blocks of one file in memory; a file that fits into them rarely reaches the disk."""
WARM_OF_ALL = 256
"""The most blocks of all files together in memory (16 MiB); each file may have one more."""
LARGEST = 1 << 44
"""The largest size in bytes (16 TiB); a write after it is refused."""
_SLOT = BLOCK + crypto.TAG_SIZE
_COUNT = struct.Struct(">IQ")
_NUMBER = struct.Struct(">Q")
_BEGINNING = "staged-"

Base = Callable[[int, int], bytes]
"""A reader of the content before the file was opened for writing: offset, number of bytes."""


class StagingArea:
    """Where all staged files of a gateway are: a folder, and memory that they share."""

    def __init__(self, folder: Path, blocks: int = WARM_OF_ALL) -> None:
        """`folder` takes the sealed blocks once there are more than `blocks` in memory."""
        self.folder = folder
        self._left = blocks
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Return whether a file that has blocks in memory must not take more."""
        with self._lock:
            return self._left <= 0

    def take(self, blocks: int) -> None:
        """Count blocks that a file has in memory from now on; negative for given back ones."""
        with self._lock:
            self._left -= blocks


class Staged:
    """A staged file with reads and writes at any offset; only one thread at a time may use it."""

    def __init__(self, area: StagingArea, *, size: int = 0, base: Base | None = None) -> None:
        """The file starts with `size` bytes, which `base` reads when they are needed."""
        self._area = area
        self._base = base
        self._base_size = size if base else 0
        self.size = size
        self._aead = crypto.Aead(os.urandom(crypto.KEY_SIZE))
        self._count = 0
        self._slots: dict[int, tuple[int, int]] = {}
        """For each block on the disk, its slot and the count under which it was sealed."""
        self._free: list[int] = []
        """Slots of blocks that were cut off."""
        self._warm: OrderedDict[int, bytearray] = OrderedDict()
        """Blocks in memory, the least recently used first."""
        self._dirty: set[int] = set()
        """The blocks in memory that differ from the disk."""
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._slot = bytearray()

    @property
    def holes(self) -> int:
        """The bytes that were never written, in whole blocks; they read as zeros."""
        below = -(-self._base_size // BLOCK)
        written = below + len({one for one in (*self._slots, *self._dirty) if one >= below})
        return max(0, self.size - written * BLOCK)

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on, fewer only where the file ends."""
        room = bytearray(max(0, min(length, self.size - offset)))
        return bytes(room[: self.read_into(offset, memoryview(room))])

    def read_into(self, offset: int, room: memoryview) -> int:
        """Fill `room` from `offset` on; return how much of it, less only where the file ends."""
        size = done = max(0, min(len(room), self.size - offset))
        while size:
            index, start = divmod(offset, BLOCK)
            piece = min(size, BLOCK - start)
            block = self._block(index)
            room[:piece] = memoryview(block)[start : start + piece]
            room, offset, size = room[piece:], offset + piece, size - piece
        return done

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write bytes at an offset; a gap after the previous end is filled with zeros."""
        view = memoryview(data)
        if offset + len(view) > LARGEST:
            raise OutOfSpaceError("The file would exceed the largest size of 16 TiB.")
        while view:
            index, start = divmod(offset, BLOCK)
            piece = min(len(view), BLOCK - start)
            block = self._block(index, fresh=piece == BLOCK)
            block[start : start + piece] = view[:piece]
            self._dirty.add(index)
            view, offset = view[piece:], offset + piece
            self.size = max(self.size, offset)

    def truncate(self, size: int) -> None:
        """Shorten the file, or extend it with zeros, to `size` bytes."""
        if size > LARGEST:
            raise OutOfSpaceError("The file would exceed the largest size of 16 TiB.")
        if size < self.size:
            index, start = divmod(size, BLOCK)
            if start:  # removed data must not reappear when the file grows again
                self._block(index)[start:] = bytes(BLOCK - start)
                self._dirty.add(index)
                index += 1
            gone = [one for one in self._warm if one >= index]
            for one in gone:
                del self._warm[one]
            self._area.take(-len(gone))
            for one in [one for one in self._slots if one >= index]:
                self._free.append(self._slots.pop(one)[0])
            self._dirty = {one for one in self._dirty if one < index}
            self._base_size = min(self._base_size, size)
        self.size = size

    def close(self) -> None:
        """Discard the data and the key."""
        self._area.take(-len(self._warm))
        self._warm.clear()
        self._slots.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    # --- blocks

    def _block(self, index: int, *, fresh: bool = False) -> bytearray:
        """Return a block in memory; with `fresh`, the caller overwrites all of it."""
        block = self._warm.get(index)
        if block is None:
            self._make_room()
            block = bytearray(BLOCK) if fresh else self._loaded(index)
            self._warm[index] = block
            self._area.take(1)
        self._warm.move_to_end(index)
        return block

    def _loaded(self, index: int) -> bytearray:
        slot, start = self._slots.get(index), index * BLOCK
        block = bytearray(BLOCK)
        if slot is not None:
            self._open(index, *slot, block)
        elif self._base is not None and start < self._base_size:
            piece = self._base(start, min(BLOCK, self._base_size - start))
            block[: len(piece)] = piece
            # Kept from now on: after the publication the old version may no longer be available.
            self._dirty.add(index)
        return block

    def _make_room(self) -> None:
        while len(self._warm) >= WARM or (self._warm and self._area.is_full):
            index, block = next(iter(self._warm.items()))
            if index in self._dirty:
                self._seal(index, block)
                self._dirty.discard(index)
            del self._warm[index]
            self._area.take(-1)

    def _seal(self, index: int, block: bytearray) -> None:
        self._count += 1
        number = _NUMBER.pack(index)
        file = self._opened()
        self._aead.seal_into(_COUNT.pack(0, self._count), block, number, self._slot)
        known = self._slots.get(index)
        slot = known[0] if known else self._free.pop() if self._free else len(self._slots)
        with local_errors("The folder for files that are being written"):
            file.seek(slot * _SLOT)
            left = memoryview(self._slot)
            while left:
                left = left[file.write(left) :]
        self._slots[index] = slot, self._count

    def _open(self, index: int, slot: int, count: int, block: bytearray) -> None:
        file = self._opened()
        with local_errors("The folder for files that are being written"):
            file.seek(slot * _SLOT)
            read = fill(memoryview(self._slot), file)
        try:
            if read != _SLOT:
                raise crypto.CryptoError("cut off")
            self._aead.open_into(_COUNT.pack(0, count), self._slot, _NUMBER.pack(index), block)
        except crypto.CryptoError:
            raise IntegrityError("A file that is being written was changed on the disk.") from None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            with local_errors(self._area.folder):
                fd, name = tempfile.mkstemp(prefix=_BEGINNING, dir=self._area.folder)
                self._file = os.fdopen(fd, "w+b", buffering=0)
                self._slot = bytearray(_SLOT)
                self._path = Path(name)
                with suppress(OSError):  # Windows keeps the name of an open file
                    self._path.unlink()
                    self._path = None
        return self._file


def sweep(folder: Path) -> None:
    """Delete the staged files of a gateway that was killed; their keys no longer exist.

    Where the system protects open files, a file that another gateway still writes is kept.
    """
    with suppress(OSError, FsError):
        for left in folder.glob(f"{_BEGINNING}*"):
            with suppress(OSError):
                left.unlink()

"""The content of one file version: segments that open in any order, verified against its root.

Each segment by itself proves that it was sealed under the file's key, for this version and for this
position. A member with the key who colludes with the server could still forge segments; only the
signed root prevents that. So the reader keeps the leaf of each received segment, and returns the
last missing segment only if the root over the leaves is the signed root. A reader of a whole file
therefore never reaches its end with a forged segment; a reader of parts of it relies on the members
who share the key.
"""

from __future__ import annotations

from fsclient.transfer.content import checked_content
from fsclient.tree.nodes import TreeNode
from fsproto import crypto
from fsproto.errors import IntegrityError
from fsproto.limits import MAX_INLINE_BLOB, SEGMENT_SIZE
from fsproto.sealed import integrity, stream


class SealedContent:
    """One file version with a verified manifest; only one thread at a time may open segments."""

    def __init__(self, file: TreeNode) -> None:
        """`file` has a verified author; raise `IntegrityError` if key and manifest do not match."""
        self.node = file.keyed.node
        self.content, self._key = checked_content(file, file.manifest.body.content)
        self.size = file.metadata.size
        """Bytes of plaintext."""
        self.segments = stream.stored_segment_count(self.content.sealed_size)
        self._name = str(file.path)
        self._bound_to = stream.content_ad(self.node, self.content.version)
        # A writer derives the header from key and salt; a different header is read from segment 0.
        header = stream.StreamSealer(self._key, self._bound_to, self.content.salt).header
        self._opener = stream.StreamOpener(self._key, self._bound_to, header)
        self._header = header
        self._leaves: dict[int, bytes] = {}
        self._is_whole = False

    @property
    def is_small(self) -> bool:
        """Return whether the server sends it together with other small files, not as a stream."""
        return self.content.sealed_size <= MAX_INLINE_BLOB

    def segment_at(self, offset: int) -> tuple[int, int]:
        """Return the segment that contains byte `offset`, and the byte's position in it."""
        if offset < stream.FIRST_PLAIN:
            return 0, offset
        index, within = divmod(offset - stream.FIRST_PLAIN, stream.OTHER_PLAIN)
        return index + 1, within

    def open(self, index: int, segment: memoryview) -> memoryview:
        """Return a segment's plaintext; raise `IntegrityError` unless it is authentic.

        A segment under an unusual header opens only after segment 0, which contains the header.
        """
        if len(segment) != min(SEGMENT_SIZE, self.content.sealed_size - index * SEGMENT_SIZE):
            raise IntegrityError(
                "The server sent a segment whose size differs from the signed size."
            )
        if index == 0 and bytes(segment[: stream.HEADER_SIZE]) != self._header:
            self._header = bytes(segment[: stream.HEADER_SIZE])
            self._opener = stream.StreamOpener(self._key, self._bound_to, self._header)
        room = memoryview(bytearray(len(segment)))
        last = index == self.segments - 1
        plain = self._opener.open_into(index, segment, room, last=last)
        self._leaves[index] = integrity.leaf(self.content.salt, index, segment)
        if len(self._leaves) == self.segments and not self._is_whole:
            self._check()
        return plain

    def _check(self) -> None:
        leaves = [self._leaves[index] for index in range(self.segments)]
        root = integrity.root(self.content.salt, leaves, self.content.sealed_size)
        if not crypto.equal(root, self.content.root):
            self._leaves.clear()  # trust none of the segments: all must be read again
            raise IntegrityError(f"'{self._name}' does not have the salted hash that was signed.")
        self._is_whole = True

"""The content of one version of a file: segments that open in any order, held against its root.

A segment proves by itself that it was sealed under the file's key, for this version and this place
in it. That says nothing against somebody who was given that key and has the server on their side;
the signed root does. So the leaves of all segments that came are kept, and the last one that was
missing is handed out only if the root of all is the one that was signed: whoever reads a file whole
never gets to its end with a segment that was forged, and whoever reads parts of it relies on those
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
    """One version of a file, whose manifest was verified; one thread at a time opens segments."""

    def __init__(self, file: TreeNode) -> None:
        """Take a file whose author was checked; `IntegrityError` if its parts do not fit."""
        self.node = file.keyed.node
        self.content, self._key = checked_content(file, file.manifest.body.content)
        self.size = file.metadata.size
        """Bytes of plaintext."""
        self.segments = stream.stored_segment_count(self.content.sealed_size)
        self._name = str(file.path)
        self._bound_to = stream.content_ad(self.node, self.content.version)
        # Who seals derives the header from key and salt; another one is taken from segment 0.
        header = stream.StreamSealer(self._key, self._bound_to, self.content.salt).header
        self._opener = stream.StreamOpener(self._key, self._bound_to, header)
        self._header = header
        self._leaves: dict[int, bytes] = {}
        self._is_whole = False

    @property
    def is_small(self) -> bool:
        """Tell whether it comes at once with others, and not as a stream of segments."""
        return self.content.sealed_size <= MAX_INLINE_BLOB

    def segment_at(self, offset: int) -> tuple[int, int]:
        """Return the segment that has byte `offset`, and where in it that byte is."""
        if offset < stream.FIRST_PLAIN:
            return 0, offset
        index, within = divmod(offset - stream.FIRST_PLAIN, stream.OTHER_PLAIN)
        return index + 1, within

    def open(self, index: int, segment: memoryview) -> memoryview:
        """Return a segment's plaintext; `IntegrityError` unless it is what was sealed and signed.

        A segment under an unusual header opens only after segment 0, which has it.
        """
        if len(segment) != min(SEGMENT_SIZE, self.content.sealed_size - index * SEGMENT_SIZE):
            raise IntegrityError("The server sent a segment of another size than was signed.")
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
            self._leaves.clear()  # nothing of it is believed: it is all to be read again
            raise IntegrityError(f"'{self._name}' does not have the salted hash that was signed.")
        self._is_whole = True

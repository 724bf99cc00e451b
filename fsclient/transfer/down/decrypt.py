"""Decryption of one downloaded file, with verification of its salted root."""

from __future__ import annotations

from fsclient.transfer.content import checked_content
from fsclient.tree.nodes import TreeNode
from fsproto import crypto
from fsproto.errors import IntegrityError
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Content
from fsproto.types import FileKey, Root


class FileDecryption:
    """The keys, leaves and position of one file while it is decrypted."""

    def __init__(self, name: str, content: Content, file_key: FileKey, bound_to: bytes) -> None:
        """Take the name for errors, what was verified before, and the associated data."""
        self.content = content
        self._file_key = file_key
        self._bound_to = bound_to
        self._name = name
        self.segments = stream.stored_segment_count(self.content.sealed_size)
        self.kept = 0
        """Number of segments kept on disk from an earlier attempt."""
        self.hashed = 0
        """Number of kept segments that were submitted for hashing."""
        self.next = 0
        """The first segment that is neither kept nor received."""
        self._opener: stream.StreamOpener | None = None
        self._sealer: stream.StreamSealer | None = None
        # Not a list of `segments` items: the author chose that number, whatever the content is.
        self._leaves: dict[int, bytes] = {}

    @classmethod
    def of(cls, file: TreeNode) -> FileDecryption:
        """Check the file key against its commitment; the caller has verified the signature."""
        content, file_key = checked_content(file, file.manifest.body.content)
        bound_to = stream.content_ad(file.keyed.node, content.version)
        return cls(str(file.path), content, file_key, bound_to)

    def go_on_behind(self, kept: int) -> None:
        """Compute the stream header locally if the segment that contains it is already kept.

        If the server sent another header earlier, the next segments do not open, and the whole
        file is downloaded again.
        """
        if kept:
            self.kept = self.next = kept
            self._sealer = stream.StreamSealer(self._file_key, self._bound_to, self.content.salt)
            header = self._sealer.header
            self._opener = stream.StreamOpener(self._file_key, self._bound_to, header)

    def segment_size(self, index: int) -> int:
        """Return how many bytes stored segment `index` must have."""
        return min(SEGMENT_SIZE, self.content.sealed_size - index * SEGMENT_SIZE)

    def open(self, index: int, segment: memoryview, into: memoryview) -> memoryview:
        """Compute a segment's leaf and open it; segment 0 first, the others in any thread."""
        if index == 0 and self._opener is None:
            header = bytes(segment[: stream.HEADER_SIZE])
            self._opener = stream.StreamOpener(self._file_key, self._bound_to, header)
        opener = self._opener
        if opener is None:
            raise RuntimeError("segment 0, which has the header, comes first")
        self._leaves[index] = integrity.leaf(self.content.salt, index, segment)
        return opener.open_into(index, segment, into, last=index == self.segments - 1)

    def open_whole(self, blob: bytes) -> bytes:
        """Verify the signed root of a small file, then open the file in one piece."""
        if len(blob) != self.content.sealed_size:
            raise IntegrityError("The server sent a file whose size differs from the signed size.")
        self._compare(integrity.blob_root(self.content.salt, blob))
        opener = stream.StreamOpener(self._file_key, self._bound_to, blob[: stream.HEADER_SIZE])
        return opener.open(0, blob, last=True)

    def hash(self, index: int, plain: memoryview, into: memoryview) -> None:
        """Compute the leaf of a kept segment by sealing it again; in any thread.

        The sealed segment is only hashed; it is never sent.
        """
        if self._sealer is None:
            raise RuntimeError("nothing was kept")
        sealed = len(plain) + stream.TAG_SIZE + (0 if index else stream.HEADER_SIZE)
        if sealed != self.segment_size(index):
            raise IntegrityError(
                f"The partial file of '{self._name}' was truncated during the download."
            )
        size = self._sealer.seal_into(index, plain, into, last=index == self.segments - 1)
        self._leaves[index] = integrity.leaf(self.content.salt, index, into[:size])

    def check(self) -> None:
        """Compare the root over all segments with the signed root."""
        leaves = [self._leaves[index] for index in range(self.segments)]
        self._compare(integrity.root(self.content.salt, leaves, self.content.sealed_size))

    def _compare(self, root: Root) -> None:
        if not crypto.equal(root, self.content.root):
            raise IntegrityError(f"'{self._name}' does not have the salted hash that was signed.")

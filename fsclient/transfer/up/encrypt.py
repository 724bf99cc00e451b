"""Sealing of a file's segments before upload."""

from __future__ import annotations

import os

from fsclient.transfer.segments import Buffer, PlainSegment
from fsproto import crypto
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Content
from fsproto.types import FileKey, NodeId, Root, Salt
from fsproto.values import Value
from fsproto.wire.connection import DATA_ROOM


class SealedSegment(Value, frozen=True):
    """A sealed segment in its buffer, after space for its wire address, and its leaf."""

    index: int
    buffer: Buffer
    record: memoryview
    leaf: bytes
    plain_size: int


class FileEncryption:
    """The keys of one version of a file, and its sealing."""

    def __init__(self, node: NodeId, version: int, file_key: FileKey, salt: Salt) -> None:
        """Use this file key and salt for a version of a node.

        Keys of a started upload may be used again only to compare: see `StreamSealer`.
        """
        self.file_key = file_key
        self.salt = salt
        self.sealer = stream.StreamSealer(file_key, stream.content_ad(node, version), salt)

    @classmethod
    def new(cls, node: NodeId, version: int) -> FileEncryption:
        """Generate a new file key and salt for a version of a file."""
        key, salt = FileKey(os.urandom(crypto.KEY_SIZE)), Salt(os.urandom(integrity.SALT_SIZE))
        return cls(node, version, key, salt)

    def seal(self, segment: PlainSegment) -> SealedSegment:
        """Seal one segment in its buffer; may run in any thread."""
        buffer, sealed = segment.buffer, segment.buffer.sealed[DATA_ROOM:]
        plain = buffer.plain[: segment.size]
        size = self.sealer.seal_into(segment.index, plain, sealed, last=segment.last)
        leaf = integrity.leaf(self.salt, segment.index, sealed[:size])
        return SealedSegment(
            segment.index, buffer, buffer.sealed[: DATA_ROOM + size], leaf, segment.size
        )

    def content(self, version: int, root: Root, plain_size: int) -> Content:
        """Return the content record for the manifest."""
        commitment = stream.key_commitment(self.file_key, self.salt)
        return Content(version, self.salt, root, stream.sealed_size(plain_size), commitment)

"""Comparison of a local file with a file in the tree; no data leaves this machine.

Size, time and mode are compared first. To compare contents, the client seals the local content
under the key of the stored file, which yields identical bytes for identical content, and compares
the salted root with the signed one. The sealed bytes are then discarded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fsclient.session.session import Session
from fsclient.transfer.content import checked_content
from fsclient.transfer.local.files import IS_WINDOWS, LocalStat
from fsclient.transfer.local.source import Source
from fsclient.transfer.local.symlinks import LinkSource
from fsclient.transfer.segments import Buffers, PlaintextSource, segments
from fsclient.tree.nodes import TreeNode
from fsproto import crypto
from fsproto.sealed import integrity, stream
from fsproto.sealed.manifest import Metadata, Mode

SAME_TIME_NS = 1_000
"""Smaller differences are ignored: NTFS, for example, stores times in steps of 100 ns."""


def same_time(one_ns: int, other_ns: int) -> bool:
    """Return whether two times are equal within the precision of file systems."""
    return abs(one_ns - other_ns) < SAME_TIME_NS


def same_mode(one: Mode, other: Mode) -> bool:
    """Return whether two modes are equal here; Windows has no executable mode."""
    return one is other or (IS_WINDOWS and Mode.SYMLINK not in (one, other))


def same_facts(facts: LocalStat, metadata: Metadata) -> bool:
    """Return whether size, time and mode are the same."""
    return (
        facts.size == metadata.size
        and same_mode(facts.mode, metadata.mode)
        and same_time(facts.mtime_ns, metadata.mtime_ns)
    )


def _ignore(_size: int) -> None:
    pass


class ContentComparer:
    """A comparer of contents that reuses its buffers."""

    def __init__(self, session: Session) -> None:
        self._authors = session.context.authors
        self._buffers = Buffers()

    def may_be_same(self, facts: LocalStat, metadata: Metadata) -> bool:
        """Return whether the contents may be equal, so that comparing them is useful."""
        is_link = Mode.SYMLINK in (facts.mode, metadata.mode)
        return facts.size == metadata.size and (facts.mode is metadata.mode or not is_link)

    def has_same_content(
        self,
        found: TreeNode,
        path: Path,
        facts: LocalStat,
        advance: Callable[[int], object] = _ignore,
    ) -> bool:
        """Return whether the local file or link at a path has the content of one in the tree.

        `facts` say whether it is a link. `advance` is called with the number of bytes as they are
        read.
        """
        is_link = facts.mode is Mode.SYMLINK
        source = LinkSource(path) if is_link else Source(path, follow=False)
        try:
            return self.same_content(found, source, advance)
        finally:
            source.close()

    def same_content(
        self,
        found: TreeNode,
        source: PlaintextSource,
        advance: Callable[[int], object] = _ignore,
    ) -> bool:
        """Return whether a source has the content of a file in the tree.

        Raises what the source raises if it changes while it is read.
        """
        self._authors.check_manifest(found.manifest)
        content, key = checked_content(found, found.manifest.body.content)
        bound_to = stream.content_ad(found.keyed.node, content.version)
        sealer = stream.StreamSealer(key, bound_to, content.salt)
        leaves: list[bytes] = []
        read = sealed_size = 0
        for segment in segments(source.read_into, self._buffers.take):
            buffer = segment.buffer
            plain = buffer.plain[: segment.size]
            size = sealer.seal_into(segment.index, plain, buffer.sealed, last=segment.last)
            leaves.append(integrity.leaf(content.salt, segment.index, buffer.sealed[:size]))
            read += segment.size
            sealed_size += size
            self._buffers.give_back(buffer)
            advance(segment.size)
        source.check_unchanged(read)
        root = integrity.root(content.salt, leaves, sealed_size)
        return crypto.equal(root, content.root)

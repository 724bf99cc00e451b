"""The questions that a decision about trust may need to ask the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from fsclient.trust.sightings import Gap
from fsproto.errors import NotFoundError
from fsproto.messages.keylog import BundleOf, LogEntries
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId


class Questions(Protocol):
    """What the server can be asked; none of its answers is verified here.

    Each method raises `Unreachable` if the connection is lost, and `RemoteProtocolError` for an
    answer of another form.
    """

    def log_entries(self, first: int) -> LogEntries:
        """Return entries of the key log from index `first`, as many as one message holds."""

    def bundles(self, users: Iterable[str]) -> Iterator[tuple[str, BundleOf | NotFoundError]]:
        """Yield the public keys of each user in order, or the error if the server has none."""

    def member_lists(self, nodes: Sequence[NodeId]) -> list[Signed]:
        """Return the member lists of some nodes; a node without one is left out."""

    def may_read(self, node: NodeId) -> bool:
        """Return whether the server lets the user read a node; it may say anything."""

    def lineages(self, gaps: Sequence[Gap]) -> Mapping[Gap, Hash]:
        """Return the lineage at each gap's later end, as the server's hashes lead to it.

        Only the lineage is kept, never the hashes: there may be a million of them.
        Raises `RollbackError` for a gap that is too large to be proved, or if hashes are missing.
        """

"""The findings of a check."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FindingKind(enum.Enum):
    """The kind of a finding; the value is its name in JSON."""

    MISSING = "missing"
    """A row names a missing blob."""
    DAMAGED = "damaged"
    """A blob whose root or size differs from its row."""
    ORPHAN = "orphan"
    """A stored blob that no row names."""
    UNOWNED = "unowned"
    """A blob's row that names a node which does not exist, or has another blob."""
    NO_BLOB = "no-blob"
    """A file whose blob has no row."""
    NO_MANIFEST = "no-manifest"
    """A node without its current manifest, or with a different one."""
    NO_STATE = "no-state"
    """A folder without its state, or with a changed one."""
    WRONG_ROOT = "wrong-root"
    """A folder whose entries differ from its signed state."""
    WRONG_PAGES = "wrong-pages"
    """A large folder whose stored tree differs from its entries."""
    NO_PARENT = "no-parent"
    """A node whose parent is not a folder."""
    MISCOUNTED = "miscounted"
    """An account whose recorded storage differs from the stored files."""


SENTENCES = {
    FindingKind.MISSING: "The content of a file of {owner} is missing: blob {what}.",
    FindingKind.DAMAGED: "The content of a file of {owner} is damaged: blob {what}.",
    FindingKind.ORPHAN: "A stored blob belongs to nothing: {what}.",
    FindingKind.UNOWNED: "A blob of {owner} belongs to a node that does not have it: {what}.",
    FindingKind.NO_BLOB: "The content of a file of {owner} is unknown: node {what}.",
    FindingKind.NO_MANIFEST: "A node of {owner} lacks its manifest: {what}.",
    FindingKind.NO_STATE: "A folder of {owner} lacks its state: node {what}.",
    FindingKind.WRONG_ROOT: "A folder of {owner} does not hold what was signed: node {what}.",
    FindingKind.WRONG_PAGES: "The stored tree of a folder of {owner} is wrong: node {what}.",
    FindingKind.NO_PARENT: "A node of {owner} lies in no folder: {what}.",
    FindingKind.MISCOUNTED: "The quota of {owner} does not count what is stored: {what}.",
}
LOST = frozenset(FindingKind) - {
    FindingKind.ORPHAN,
    FindingKind.UNOWNED,
    FindingKind.MISCOUNTED,
    FindingKind.WRONG_PAGES,
}
"""Kinds that mean lost data; the repair cannot restore it."""


@dataclass(frozen=True)
class Finding:
    """One problem that a check found."""

    kind: FindingKind
    what: str
    """The blob's root or the node's id, in hex; for a quota the two counts, in words."""
    owner: str
    """The owner's user name, or empty."""
    staged: bool = False
    """Whether it is an uploaded blob without a commit, so not part of a file yet."""
    drop: bool = False
    """Whether it is the blob of a waiting drop."""

    @property
    def sentence(self) -> str:
        """The finding as a sentence."""
        if self.staged:
            return f"An upload of {self.owner} that waits for its commit is damaged: {self.what}."
        if self.drop:
            return f"What was dropped for {self.owner} is {self.kind.value}: blob {self.what}."
        return SENTENCES[self.kind].format(what=self.what, owner=self.owner)

    @property
    def loses(self) -> bool:
        """Whether the finding means lost data."""
        return self.kind in LOST and not self.staged

"""The findings of a check."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FindingKind(enum.Enum):
    """What is wrong with one thing; the value is what it is called in JSON."""

    MISSING = "missing"
    """A row names a blob that is not there."""
    DAMAGED = "damaged"
    """A blob does not have the root, or the size, that its row says."""
    ORPHAN = "orphan"
    """A stored blob that no row names."""
    UNOWNED = "unowned"
    """A row of a blob that belongs to a node which is not there, or has another one."""
    NO_BLOB = "no-blob"
    """A file whose blob has no row."""
    NO_MANIFEST = "no-manifest"
    """A node without its manifest, or with another than the one that counts."""
    NO_STATE = "no-state"
    """A folder without its state, or with a changed one."""
    WRONG_ROOT = "wrong-root"
    """A folder that does not hold what its signed state says."""
    NO_PARENT = "no-parent"
    """A node that lies in a folder which is not there."""
    MISCOUNTED = "miscounted"
    """Another amount is noted of somebody's files than there is."""


SENTENCES = {
    FindingKind.MISSING: "The content of a file of {owner} is missing: blob {what}.",
    FindingKind.DAMAGED: "The content of a file of {owner} is damaged: blob {what}.",
    FindingKind.ORPHAN: "A stored blob belongs to nothing: {what}.",
    FindingKind.UNOWNED: "A blob of {owner} belongs to a node that does not have it: {what}.",
    FindingKind.NO_BLOB: "The content of a file of {owner} is unknown: node {what}.",
    FindingKind.NO_MANIFEST: "A node of {owner} lacks its manifest: {what}.",
    FindingKind.NO_STATE: "A folder of {owner} lacks its state: node {what}.",
    FindingKind.WRONG_ROOT: "A folder of {owner} does not hold what was signed: node {what}.",
    FindingKind.NO_PARENT: "A node of {owner} lies in no folder: {what}.",
    FindingKind.MISCOUNTED: "The quota of {owner} does not count what is stored: {what}.",
}
LOST = frozenset(FindingKind) - {FindingKind.ORPHAN, FindingKind.UNOWNED, FindingKind.MISCOUNTED}
"""Kinds by which somebody has lost something, which no repair here brings back."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: FindingKind
    what: str
    """The blob's root or the node's id, in hex; or what was counted, in words."""
    owner: str
    """The name of the person, or nothing."""
    staged: bool = False
    """Whether it is a blob that was uploaded and not committed: nobody's file yet."""
    drop: bool = False
    """Whether it is the blob of a drop that waits."""

    @property
    def sentence(self) -> str:
        """What a person is told."""
        if self.staged:
            return f"An upload of {self.owner} that waits for its commit is damaged: {self.what}."
        if self.drop:
            return f"What was dropped for {self.owner} is {self.kind.value}: blob {self.what}."
        return SENTENCES[self.kind].format(what=self.what, owner=self.owner)

    @property
    def loses(self) -> bool:
        """Whether somebody has lost something by it."""
        return self.kind in LOST and not self.staged

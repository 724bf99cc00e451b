"""The proof that a change has removed an entry from a folder.

The server shows the folder's last state with the entry and the state that followed it, with a
prefix-tree proof under each.
"""

from __future__ import annotations

from fsproto.errors import IntegrityError
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import PrefixTree
from fsproto.sealed.folder import VerifiedState
from fsproto.sealed.manifest import Manifest, VerifiedManifest, pinned_manifest
from fsproto.signed import Signed
from fsproto.values import Value


class Removal(Value, frozen=True):
    """A removed entry of a folder, as the proofs show it."""

    manifest: VerifiedManifest
    """Its last manifest, verified by the hash that the earlier state names."""
    replaced: bool
    """Whether another node has taken its name in the same change."""


def verify_removal(
    manifest: Signed,
    before: VerifiedState,
    before_proof: bytes,
    after: VerifiedState,
    after_proof: bytes,
) -> Removal:
    """Verify that a node was an entry of `before`, and is none of the next state, `after`.

    Raises `IntegrityError` or `RemoteProtocolError`. Whose signatures count is not checked here.
    """
    if not before.point.leads_to(after.point, ()):
        raise IntegrityError("The server showed states of a folder that do not follow.")
    claimed = unpack(manifest.payload, Manifest)
    entry = PrefixTree.from_proof(before_proof, before.body.root).get(claimed.token)
    if entry is None or entry.node != claimed.node:
        raise IntegrityError(
            "The server reported the removal of an entry that the folder never had."
        )
    left = PrefixTree.from_proof(after_proof, after.body.root).get(claimed.token)
    if left is not None and left.node == claimed.node:
        raise IntegrityError(
            "The server reported the removal of an entry that the folder still has."
        )
    return Removal(pinned_manifest(manifest, entry.manifest), left is not None)

"""A listing, short or long, is proved as a whole before anything of it is used."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pytest
from msgspec.structs import replace

from fsclient.tree.listing import Listing
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.packing import pack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.manifest import manifest_hash
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId, Token
from tests.support.fixed_keys import stretch
from tests.vectors.makers.content import file_manifest

LONG = 8000
"""Manifests that take more than a listing keeps in memory."""
PART = 500


def manifests(count: int) -> tuple[list[Signed], Hash]:
    """Return manifests and the root of a folder that has exactly these."""
    body, signed, entries = file_manifest(), list[Signed](), list[FolderEntry]()
    for at in range(count):
        token, node = Token(stretch(f"{at} token", 32)), NodeId(stretch(f"{at} node", 16))
        one = Signed(pack(replace(body, token=token, node=node)), bytes(64))
        signed.append(one)
        entries.append(FolderEntry(token, node, manifest_hash(one)))
    return signed, PrefixTree.build(entries).root


ALL, ROOT = manifests(LONG)


def listed(signed: Sequence[Signed], root: Hash, **limits: int) -> list[Signed]:
    with closing(Listing(**limits)) as listing:
        for at in range(0, len(signed), PART):
            listing.add(signed[at : at + PART])
        found, tree = listing.proved(root)
    assert tree.root == root
    return [one.signed for one in found]


@pytest.mark.parametrize("count", [1, 500, LONG])
def test_a_listing_comes_back_in_its_order(count: int) -> None:
    assert listed(ALL[:count], manifests(count)[1]) == ALL[:count]


@pytest.mark.parametrize("count", [10, LONG])
def test_nothing_of_a_listing_with_another_root_comes_back(count: int) -> None:
    root = manifests(count)[1]
    for other in (ALL[: count - 1], ALL[1:count], [*ALL[: count - 1], ALL[0]]):
        with pytest.raises(IntegrityError):
            listed(other, root)


def test_an_empty_folder_needs_no_part() -> None:
    assert listed([], PrefixTree().root) == []


def test_a_part_with_nothing_in_it_is_refused() -> None:
    with closing(Listing()) as listing, pytest.raises(RemoteProtocolError, match="nothing in it"):
        listing.add([])


def test_a_listing_with_too_many_entries_or_bytes_is_refused_before_its_end() -> None:
    size = sum(len(one.payload) + len(one.signature) for one in ALL)
    for limits in ({"most": LONG - 1}, {"most_bytes": size - 1}):
        with pytest.raises(RemoteProtocolError, match="more than a folder can have"):
            listed(ALL, ROOT, **limits)
    assert len(listed(ALL, ROOT, most=LONG, most_bytes=size)) == LONG


def test_a_manifest_that_is_too_long_is_refused_at_once() -> None:
    with closing(Listing()) as listing, pytest.raises(IntegrityError, match="too long"):
        listing.add([Signed(bytes(100_000), bytes(64))])

"""Vectors of prefix trees, their proofs, and the folder states that sign their roots."""

from __future__ import annotations

from fsproto import labels
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError, SignatureError
from fsproto.packing import pack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.signed import Signed
from fsproto.types import NO_HASH, Hash, NodeId, Token
from tests.support.fixed_keys import LOG_HEAD, TIME_MS, keyed_node, person, stretch
from tests.support.reference import place_of, sha256
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept
from tests.vectors.makers.content import replaced

ABSENT = Token(stretch("absent", 32))


def make(kept: Kept) -> Files:
    """Return the four files of folders."""
    return {"tree": _trees(), "proof": _proofs(), "state": _states(), "changes": _changes()}


def entry(number: int, token: bytes | None = None) -> FolderEntry:
    """Return a sample entry."""
    seed = f"entry {number}"
    return FolderEntry(
        Token(token or stretch(f"{seed} token", 32)),
        NodeId(stretch(f"{seed} node", 16)),
        Hash(stretch(f"{seed} manifest", 32)),
    )


def _entry_json(one: FolderEntry) -> Vector:
    return {"token": one.token.hex(), "node": one.node.hex(), "manifest": one.manifest.hex()}


SETS = {
    "tree_of_none": [],
    "tree_of_one": [entry(0)],
    "tree_of_two": [entry(n) for n in range(2)],
    "tree_of_three": [entry(n) for n in range(3)],
    "tree_of_ten": [entry(n) for n in range(10)],
    # Tokens that differ only at the last bit, and three that share their first 31 bytes.
    "tree_last_bit_differs": [entry(0, bytes(32)), entry(1, bytes(31) + b"\x01")],
    "tree_long_shared_prefix": [entry(n, b"\xa5" * 31 + bytes([n])) for n in (0x00, 0x7F, 0xFF)],
}


def _trees() -> list[Vector]:
    return [
        {
            "name": name,
            "entries": [_entry_json(one) for one in entries],
            "root": PrefixTree.build(entries).root.hex(),
            "error": None,
        }
        for name, entries in SETS.items()
    ]


def _changes() -> list[Vector]:
    """Return commits that make several changes of one folder, with what they need of its tree."""
    ten = SETS["tree_of_ten"]
    third, first = ten[3], ten[1]
    renamed = FolderEntry(Token(stretch("another name", 32)), third.node, third.manifest)

    def vector(name: str, of: str, put: list[FolderEntry], removed: list[FolderEntry]) -> Vector:
        before = PrefixTree.build(SETS[of])
        changes: dict[Token, FolderEntry | None] = {one.token: None for one in removed}
        changes |= {one.token: one for one in put}
        return {
            "name": f"changes_{name}",
            "of": of,
            "root_before": before.root.hex(),
            "proof": before.prove(list(changes)).hex(),
            "put": [_entry_json(one) for one in put],
            "removed": [one.token.hex() for one in removed],
            "root": before.update(changes).root.hex(),
            "error": None,
        }

    changed = FolderEntry(first.token, first.node, Hash(stretch("entry 1, next version", 32)))
    return [
        vector("first_entries", "tree_of_none", ten[:3], []),
        vector("changed_added_and_removed", "tree_of_ten", [changed, entry(11)], [ten[2], ten[7]]),
        vector("renamed", "tree_of_ten", [renamed], [ten[3]]),
        vector("all_removed", "tree_of_three", [], ten[:3]),
        vector("one_left", "tree_of_three", [], ten[:2]),
        vector(
            "neighbours_at_the_last_bit",
            "tree_last_bit_differs",
            [entry(5, bytes(31) + b"\x02")],
            [SETS["tree_last_bit_differs"][0]],
        ),
    ]


def _proofs() -> list[Vector]:
    ten = PrefixTree.build(SETS["tree_of_ten"])
    shown = entry(4)

    def vector(
        name: str,
        root: bytes,
        proof: bytes,
        error: type[FsError] | None = None,
        **fields: object,
    ) -> Vector:
        return {
            "name": name,
            "root": root.hex(),
            "proof": proof.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def good(name: str, of: str, tokens: list[Token]) -> Vector:
        tree = PrefixTree.build(SETS[of])
        there = {one.token: one for one in SETS[of]}
        return vector(
            name,
            tree.root,
            tree.prove(tokens),
            of=of,
            tokens=[token.hex() for token in tokens],
            entries=[_entry_json(there[token]) if token in there else None for token in tokens],
            roots_after_removal=[
                tree.remove(token).root.hex() if token in there else None for token in tokens
            ],
            root_after_adding=tree.put(entry(99, ABSENT)).root.hex() if ABSENT in tokens else None,
        )

    def refused(
        name: str,
        proof: bytes,
        root: bytes = ten.root,
        error: type[FsError] = RemoteProtocolError,
    ) -> Vector:
        return vector(name, root, proof, error)

    proof = ten.prove([shown.token])
    at = proof.index(shown.token)
    manifest_changed = proof[: at + 48] + bytes([proof[at + 48] ^ 1]) + proof[at + 49 :]
    hidden = proof[: at - 1] + b"\x00" + proof[at + 80 :]
    two = PrefixTree.build(SETS["tree_of_two"])
    of_two = two.prove([entry(0).token])
    other_depth = b"\x03" + bytes([of_two[1] + 1]) + of_two[2:]
    cut = proof[: at - 1] + b"\x02" + shown.root + proof[at + 80 :]
    one = entry(0, bytes(32))
    leaf = b"\x01" + one.token + one.node + one.manifest, one.root
    root = stretch("a root", 32)
    other = b"\x02" + root, root
    nothing, no_root = (b"\x00", NO_HASH), (b"\x02" + NO_HASH, NO_HASH)
    place = place_of(one.token)

    def above(
        depth: int, below: tuple[bytes, bytes], beside: tuple[bytes, bytes] = other
    ) -> tuple[bytes, bytes]:
        """Return a branch above a part with `one` in it, on the side where `one` belongs."""
        is_one = place >> (255 - depth) & 1
        return _branch(depth, *((beside, below) if is_one else (below, beside)))

    at_wrong_side = _branch(3, *((leaf, other) if place >> 252 & 1 else (other, leaf)))
    return [
        good("proof_nothing_is_there", "tree_of_none", [ABSENT]),
        good("proof_only_entry", "tree_of_one", [entry(0).token]),
        good("proof_another_entry_is_there", "tree_of_one", [ABSENT]),
        good("proof_of_presence", "tree_of_ten", [shown.token]),
        good("proof_of_absence", "tree_of_ten", [ABSENT]),
        good(
            "proof_of_several",
            "tree_of_ten",
            [entry(1).token, ABSENT, entry(4).token, entry(9).token],
        ),
        good("proof_of_no_token", "tree_of_ten", []),
        good("proof_last_bit_differs", "tree_last_bit_differs", [Token(bytes(32))]),
        vector(
            "proof_name_not_covered",
            ten.root,
            ten.prove([]),
            tokens=[shown.token.hex()],
            get_error=IntegrityError.code,
        ),
        refused("proof_no_bytes", b""),
        refused("proof_cut", proof[:-1]),
        refused("proof_bytes_behind_end", proof + b"\x00"),
        refused("proof_unknown_kind", b"\x04" + proof[1:]),
        refused("proof_other_root", proof, one.root, IntegrityError),
        refused("proof_manifest_changed", manifest_changed, error=IntegrityError),
        refused("proof_entry_hidden", hidden),
        refused("proof_other_depth", other_depth, two.root, IntegrityError),
        # In the following proofs the hashes match; only the shape is wrong.
        refused("proof_path_without_entry", cut),
        refused("proof_entry_at_wrong_place", *at_wrong_side, IntegrityError),
        refused("proof_entry_at_wrong_place_below", *above(1, at_wrong_side), IntegrityError),
        refused("proof_branch_of_one_entry", *above(0, leaf, nothing)),
        refused("proof_branch_with_root_of_nothing", *above(0, leaf, no_root)),
        refused("proof_branch_of_nothing", *_branch(0, nothing, nothing)),
        refused("proof_branch_of_two_roots", *_branch(0, other, other)),
        refused("proof_depth_repeated", *above(7, above(7, leaf))),
        refused("proof_depth_decreases", *above(8, above(7, leaf))),
        refused("proof_branch_below_deepest", *above(255, above(255, leaf))),
    ]


def _branch(depth: int, zero: tuple[bytes, bytes], one: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return the proof and the root of a branch; each side is given as (proof, root)."""
    head = bytes([depth])
    return b"\x03" + head + zero[0] + one[0], sha256(b"\x01" + head + zero[1] + one[1])


def _states() -> list[Vector]:
    alice, bob = person("alice"), person("bob")
    folder = keyed_node("folder")
    first = FolderState(
        format=1,
        folder=folder.node,
        version=1,
        lineage=NO_HASH,
        root=PrefixTree().root,
        generation=1,
        author="alice",
        author_key=alice.signing.public,
        time_ms=TIME_MS,
        log_head=LOG_HEAD,
    )
    next_ = replaced(
        first,
        version=2,
        lineage=sign_state(alice.signing, first).point.next_lineage,
        root=PrefixTree.build(SETS["tree_of_ten"]).root,
    )

    def vector(
        name: str, signed: Signed, error: type[FsError] | None = None, **fields: object
    ) -> Vector:
        return {
            "name": name,
            "folder": folder.node.hex(),
            "author": "alice",
            "public": alice.signing.public.hex(),
            "payload": signed.payload.hex(),
            "signature": signed.signature.hex(),
            **fields,
            "error": error.code if error else None,
        }

    def good(name: str, body: FolderState) -> Vector:
        made = sign_state(alice.signing, body)
        return vector(name, made.signed, fields=to_json(body), hash=made.hash.hex())

    def refused(name: str, error: type[FsError], **changes: object) -> Vector:
        return vector(name, sign_state(alice.signing, replaced(first, **changes)).signed, error)

    packed = pack(first)
    as_manifest = Signed(packed, alice.signing.sign(labels.SIGN_MANIFEST, packed))
    by_bob = Signed(packed, bob.signing.sign(labels.SIGN_STATE, packed))
    longer = packed + b"\xc0"
    behind = Signed(longer, alice.signing.sign(labels.SIGN_STATE, longer))
    return [
        good("state_first", first),
        good("state_first_of_a_root", replaced(first, log_head=b"")),
        good("state_second", next_),
        vector("state_signed_as_manifest", as_manifest, SignatureError),
        vector("state_signed_by_another", by_bob, SignatureError),
        vector("state_bytes_behind_end", behind, RemoteProtocolError),
        refused("state_other_folder", SignatureError, folder=keyed_node("root").node),
        refused("state_names_another_author", SignatureError, author="bob"),
        refused("state_names_another_key", SignatureError, author_key=bob.signing.public),
        refused("state_version_0", RemoteProtocolError, version=0),
        refused("state_format_2", RemoteProtocolError, format=2),
        refused("state_root_short", RemoteProtocolError, root=Hash(bytes(31))),
        refused("state_lineage_short", RemoteProtocolError, lineage=Hash(b"")),
        refused("state_log_head_short", RemoteProtocolError, log_head=bytes(39)),
        refused("state_log_head_absent_later", RemoteProtocolError, version=2, log_head=b""),
    ]

"""The Merkle prefix tree over a folder's entries, whole or the part that a proof shows.

The place of an entry is the 256-bit number SHA-256(0x02 ‖ token); bit 0 is its highest bit. The
root of a set of entries is

    32 zero bytes                                          for no entry
    SHA-256(0x00 ‖ token ‖ node id ‖ manifest hash)        for one
    SHA-256(0x01 ‖ u8 depth ‖ root of the entries with a 0 at bit `depth` ‖ root of the others)
                                                           for more; `depth` is the first bit at
                                                           which their places differ

So a tree over n entries has n - 1 branches (Morrison's PATRICIA, JACM 1968), and because places are
hashes, the choice of tokens cannot make the paths to them long.

A proof for some tokens is the tree in preorder, in which everything on none of their paths is cut
to its root: 0x00 nothing (only as the whole tree) · 0x01 token node hash · 0x02 root · 0x03 depth,
a branch, followed by its two sides. The path of a token ends at an entry; if the entry has another
token, then the token is absent. A proof is also enough to compute the root after a change: the
removal of an entry puts its sibling, as it is, in place of the branch. Compare CONIKS (Melara et
al., USENIX Security 2015) for the shape and its proofs of absence.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from fsproto import crypto
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.types import NO_HASH, Hash, NodeId, Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BITS = 256
"""Bits of a place."""
_TOKEN, _NODE, _HASH = 32, 16, 32


class FolderEntry(NamedTuple):
    """One entry of a folder: the token of its name, the node, the manifest's hash."""

    token: Token
    node: NodeId
    manifest: Hash

    @property
    def root(self) -> Hash:
        """Root of the set with only this entry."""
        return Hash(crypto.sha256(b"\x00" + self.token + self.node + self.manifest))


class Opaque(NamedTuple):
    """A part of which only the root is known, and the first bits of the places in it."""

    root: Hash
    place: int
    depth: int
    """How many bits of `place` are known."""


class Branch(NamedTuple):
    """A part with at least two entries."""

    zero: Part
    one: Part
    root: Hash
    place: int
    """The place of an entry in it."""
    depth: int
    """The first bit at which the places in it differ."""
    shown: int
    """Number of visible entries in it."""
    nodes: int
    """Number of visible entries and branches in it, and of roots in place of others."""


Part = FolderEntry | Opaque | Branch
"""A tree with at least one entry. Only what stores trees looks at parts: `fsd` and this module."""
Changes = Mapping[Token, FolderEntry | None]
"""The new entry of each token; None to remove it."""
_Item = tuple[int, Part]
"""A part and a place in it."""
_Change = tuple[int, FolderEntry | None]
_by_place: Callable[[_Item | _Change], int] = itemgetter(0)


def place_number(token: Token) -> int:
    """Return the place of an entry with this token, as a number."""
    return int.from_bytes(place_of(token), "big")


def bit_of(place: int, depth: int) -> int:
    """Return the bit of a place at `depth`, which says on which side of a branch it is."""
    return place >> (_BITS - 1 - depth) & 1


def _shared(one: int, other: int) -> int:
    """Return how many first bits two places share."""
    return _BITS - (one ^ other).bit_length()


def start_of(place: int, depth: int, side: int) -> int:
    """Return the least place with the bit `side` at `depth` and the bits of `place` before it."""
    low = _BITS - depth
    return place >> low << low | side << low - 1


def _joined(zero: Hash, depth: int, one: Hash) -> Hash:
    return Hash(crypto.sha256(b"\x01" + bytes((depth,)) + zero + one))


def _two_of_one_name() -> IntegrityError:
    return IntegrityError("A folder has two entries under one name.")


def branch(zero: Part, one: Part, place: int, depth: int) -> Branch:
    """Return the branch over two parts that differ at bit `depth`; `place` is a place in it."""
    root = _joined(zero.root, depth, one.root)
    shown, nodes = _shown(zero) + _shown(one), _nodes(zero) + _nodes(one) + 1
    return Branch(zero, one, root, place, depth, shown, nodes)


def with_sides(old: Branch, zero: Part, one: Part) -> Branch:
    """Return a branch with sides that have the same roots, but show more or fewer entries."""
    shown, nodes = _shown(zero) + _shown(one), _nodes(zero) + _nodes(one) + 1
    return Branch(zero, one, old.root, old.place, old.depth, shown, nodes)


def _shown(tree: Part) -> int:
    return tree.shown if isinstance(tree, Branch) else int(isinstance(tree, FolderEntry))


def _nodes(tree: Part) -> int:
    return tree.nodes if isinstance(tree, Branch) else 1


class PrefixTree:
    """An immutable tree; a change returns a new tree, which shares the unchanged parts."""

    def __init__(self, tree: Part | None = None) -> None:
        """Start empty; see also `build` and `from_proof`."""
        self._tree = tree

    @classmethod
    def build(cls, entries: Iterable[FolderEntry]) -> PrefixTree:
        """Return the whole tree over entries with different tokens."""
        ordered: list[_Item] = [(place_number(entry.token), entry) for entry in entries]
        ordered.sort(key=_by_place)
        if any(a == b for (a, _), (b, _) in pairwise(ordered)):
            raise _two_of_one_name()
        return cls(_build(ordered))

    @classmethod
    def from_proof(cls, proof: bytes, root: Hash) -> PrefixTree:
        """Return the tree in `proof`; `IntegrityError` unless it has exactly this root."""
        tree = cls(_ProofReader(proof).read())
        if not crypto.equal(tree.root, root):
            raise IntegrityError("The server's proof does not fit the folder's signature.")
        return tree

    @property
    def top(self) -> Part | None:
        """The tree as parts; None if it has no entry."""
        return self._tree

    @property
    def root(self) -> Hash:
        """The root that a folder state names, 32 bytes."""
        return NO_HASH if self._tree is None else self._tree.root

    @property
    def size(self) -> int:
        """Number of visible entries."""
        return 0 if self._tree is None else _shown(self._tree)

    @property
    def nodes(self) -> int:
        """Number of visible entries and branches, and of roots in place of others."""
        return 0 if self._tree is None else _nodes(self._tree)

    def get(self, token: Token) -> FolderEntry | None:
        """Return the entry, or None if it is proved absent; `IntegrityError` if not covered."""
        tree = self._tree
        if tree is None:
            return None
        place = place_number(token)
        while isinstance(tree, Branch):
            tree = tree.one if bit_of(place, tree.depth) else tree.zero
        if isinstance(tree, FolderEntry):
            return tree if tree.token == token else None
        if _shared(place, tree.place) < tree.depth:
            return None
        raise IntegrityError("The server's proof does not cover the requested name.")

    def put(self, entry: FolderEntry) -> PrefixTree:
        """Return the tree with `entry` added, or in place of the one with its token."""
        return self.update({entry.token: entry})

    def remove(self, token: Token) -> PrefixTree:
        """Return the tree without the entry of that token (`KeyError` if there is none)."""
        if self.get(token) is None:
            raise KeyError(token)
        return self.update({token: None})

    def update(self, changes: Changes) -> PrefixTree:
        """Return the tree after several changes.

        `IntegrityError` if the proof does not cover one of the tokens.
        """
        ordered = [(place_number(token), entry) for token, entry in changes.items()]
        return PrefixTree(_update(self._tree, sorted(ordered, key=_by_place)))

    def bare(self) -> PrefixTree:
        """Return the tree with its root alone, which shows no entry."""
        return PrefixTree.from_proof(self.prove([]), self.root)

    def edit(self) -> Edit:
        """Return an `Edit` for many changes, one after the other."""
        return Edit(self)

    def shows(self, tokens: Iterable[Token]) -> bool:
        """Return whether the tree proves each token present or absent, so that `get` succeeds."""
        try:
            for token in tokens:
                self.get(token)
        except IntegrityError:
            return False
        return True

    def prove(self, tokens: Iterable[Token]) -> bytes:
        """Return the proof for these tokens; for no tokens, only the root."""
        if self._tree is None:
            return b"\x00"
        out: list[bytes] = []
        _prove(self._tree, sorted(map(place_number, tokens)), out)
        return b"".join(out)

    def __iter__(self) -> Iterator[FolderEntry]:
        """Yield every visible entry, in the order of their places."""
        stack = [self._tree]
        while stack:
            match stack.pop():
                case FolderEntry() as entry:
                    yield entry
                case Branch(zero, one):
                    stack += [one, zero]


def place_of(token: Token) -> bytes:
    """Return the place of an entry with this token, 32 bytes."""
    return crypto.sha256(b"\x02" + token)


def root_of(leaves: Iterable[tuple[bytes, bytes]]) -> Hash:
    """Return the root of entries: for each its place and its own root, in the order of the places.

    Takes memory for one path only. Raises `IntegrityError` for two entries of one place.
    """
    root, before = NO_HASH, b""
    waiting: list[tuple[Hash, int]] = []  # left sides whose right sides are not complete
    for place, leaf in leaves:
        if before:
            depth = _shared(int.from_bytes(before, "big"), int.from_bytes(place, "big"))
            if depth == _BITS:
                raise _two_of_one_name()
            while waiting and waiting[-1][1] > depth:
                root = _joined(*waiting.pop(), root)
            waiting.append((root, depth))
        root, before = Hash(leaf), place
    while waiting:
        root = _joined(*waiting.pop(), root)
    return root


class Edit:
    """Changes to a tree, visible at once but applied together: each node is hashed only once."""

    def __init__(self, tree: PrefixTree) -> None:
        """Start from a tree."""
        self._tree = tree
        self._changes: dict[Token, FolderEntry | None] = {}

    def get(self, token: Token) -> FolderEntry | None:
        """Return the entry after the changes so far; errors as for `PrefixTree.get`."""
        return self._changes[token] if token in self._changes else self._tree.get(token)

    def put(self, entry: FolderEntry) -> None:
        """Add an entry, or put it in place of the one with its token."""
        self._changes[entry.token] = entry

    def remove(self, token: Token) -> None:
        """Remove the entry of that token (`KeyError` if there is none)."""
        if self.get(token) is None:
            raise KeyError(token)
        self._changes[token] = None

    def tree(self) -> PrefixTree:
        """Return the tree with all changes; `IntegrityError` as for `PrefixTree.update`."""
        return self._tree.update(self._changes)


def _build(items: Sequence[_Item]) -> Part | None:
    """Return the tree over parts with different places, in the order of the places."""
    return _build_some(items) if items else None


def _build_some(items: Sequence[_Item]) -> Part:
    place, part = items[0]
    if len(items) == 1:
        return part
    depth = _shared(place, items[-1][0])
    split = bisect_left(items, start_of(place, depth, 1), key=_by_place)
    return branch(_build_some(items[:split]), _build_some(items[split:]), place, depth)


def _update(tree: Part | None, changes: Sequence[_Change]) -> Part | None:
    """Return a tree after changes, which are in the order of their places."""
    if not changes:
        return tree
    if tree is None:
        return _build(_added(changes))
    place = place_number(tree.token) if isinstance(tree, FolderEntry) else tree.place
    depth = _BITS if isinstance(tree, FolderEntry) else tree.depth
    # Only changes of places that share the first `depth` bits concern what is in the tree.
    low = _BITS - depth
    first = bisect_left(changes, place >> low << low, key=_by_place)
    end = bisect_left(changes, ((place >> low) + 1) << low, key=_by_place)
    inner = _update_inside(tree, changes[first:end]) if first < end else tree
    items = _added([*changes[:first], *changes[end:]])
    if inner is not None:
        insort(items, (place, inner), key=_by_place)
    return _build(items)


def _update_inside(tree: Part, changes: Sequence[_Change]) -> Part | None:
    match tree:
        case FolderEntry():
            return changes[0][1]
        case Opaque():
            raise IntegrityError("The server's proof does not cover the changed name.")
        case Branch(zero, one, _, place, depth):
            split = bisect_left(changes, start_of(place, depth, 1), key=_by_place)
            new_zero, new_one = _update(zero, changes[:split]), _update(one, changes[split:])
            if new_zero is None or new_one is None:
                return new_one if new_zero is None else new_zero
            return branch(new_zero, new_one, place, depth)


def _added(changes: Sequence[_Change]) -> list[_Item]:
    return [(place, entry) for place, entry in changes if entry is not None]


def _prove(tree: Part, places: list[int], out: list[bytes]) -> None:
    match tree:
        case Branch(zero, one, _, _, depth) if places:
            out.append(b"\x03" + bytes((depth,)))
            ones = [place for place in places if bit_of(place, depth)]
            _prove(zero, [place for place in places if not bit_of(place, depth)], out)
            _prove(one, ones, out)
        case FolderEntry() if places:
            out.append(b"\x01" + tree.token + tree.node + tree.manifest)
        case _:
            out.append(b"\x02" + tree.root)


class _ProofReader:
    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self._at = 0

    def read(self) -> Part | None:
        """Read the whole proof."""
        tree = None if self._proof == b"\x00" else self._part(0)[1]
        if tree is not None and self._at != len(self._proof):
            raise RemoteProtocolError("The server's proof has data after its end.")
        return tree

    def _take(self, length: int) -> bytes:
        piece = self._proof[self._at : self._at + length]
        self._at += length
        if len(piece) != length:
            raise RemoteProtocolError("The server's proof was cut short.")
        return piece

    def _part(self, least: int) -> tuple[int | None, Part]:
        """Read a part whose places differ at bit `least` at the earliest.

        Return the place of a visible entry in it too; None if there is no such entry.
        """
        kind = self._take(1)
        if kind == b"\x01":
            entry = FolderEntry(
                Token(self._take(_TOKEN)), NodeId(self._take(_NODE)), Hash(self._take(_HASH))
            )
            return place_number(entry.token), entry
        if kind == b"\x02":
            root = Hash(self._take(_HASH))
            if root != NO_HASH:
                return None, Opaque(root, 0, 0)
        if kind == b"\x03":
            depth = self._take(1)[0]
            if depth >= least:
                return self._branch(depth)
        raise RemoteProtocolError("The server's proof is malformed.")

    def _branch(self, depth: int) -> tuple[int, Branch]:
        read = self._part(depth + 1), self._part(depth + 1)
        place = read[1][0] if read[0][0] is None else read[0][0]
        if place is None:
            # A branch is shown only as a part of the path to an entry. Without an entry, the
            # first bits of the places in it are unknown, and no change can be computed.
            raise RemoteProtocolError("The server's proof is malformed.")
        sides = list[Part]()
        for side, (known, part) in enumerate(read):
            start = start_of(place, depth, side)
            if known is not None and _shared(known, start) <= depth:
                raise IntegrityError("The server's proof has an entry in an impossible place.")
            sides.append(Opaque(part.root, start, depth + 1) if known is None else part)
        zero, one = sides
        return place, branch(zero, one, place, depth)

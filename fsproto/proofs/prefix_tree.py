"""The Merkle prefix tree over a folder's entries, whole or the part that a proof shows.

With entries sorted by their 32-byte token, the root of a set at a depth (in bits) is

    32 zero bytes                                    for no entry
    SHA-256(0x00 ‖ token ‖ node id ‖ manifest hash)  for one
    SHA-256(0x01 ‖ root(bit at depth is 0, depth+1) ‖ root(bit at depth is 1, depth+1))  for more

A proof for some tokens is the tree in preorder, in which every branch on none of their paths is cut
to the roots of its sides: 0x00 nothing · 0x01 token node hash · 0x02 a branch of which only the two
sides' roots are shown · 0x03 a branch, followed by its two sides. A proof shows entries that exist
and also that an entry does *not* exist, and is enough to compute the root after a change. A single
entry is always written in full, because it moves up when its neighbour is removed. A cut branch
shows two roots, not one, because otherwise the root of a single entry could be passed off as a
branch. Compare CONIKS (Melara
et al., USENIX Security 2015) for the shape and its proofs of absence.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from fsproto import crypto
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.types import NO_HASH, Hash, NodeId, Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_T = TypeVar("_T")

TOKEN_BITS = 256
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


class _Opaque(NamedTuple):
    """A branch of which only the roots of its sides are known."""

    zero: Hash
    one: Hash
    root: Hash


class _Branch(NamedTuple):
    zero: _Subtree
    one: _Subtree
    root: Hash
    shown: int
    """Number of visible entries in it."""


_Subtree = FolderEntry | _Opaque | _Branch | None
Changes = Mapping[Token, FolderEntry | None]
"""The new entry of each token; None to remove it."""


def _branch(zero: _Subtree, one: _Subtree) -> _Branch:
    return _Branch(zero, one, _branch_root(_root(zero), _root(one)), _shown(zero) + _shown(one))


def _branch_root(zero: Hash, one: Hash) -> Hash:
    return Hash(crypto.sha256(b"\x01" + zero + one))


def _shown(tree: _Subtree) -> int:
    return tree.shown if isinstance(tree, _Branch) else int(isinstance(tree, FolderEntry))


def _root(tree: _Subtree) -> Hash:
    return NO_HASH if tree is None else tree.root


def _bit(token: bytes, depth: int) -> int:
    return token[depth >> 3] >> (7 - (depth & 7)) & 1


def _split(ordered: Sequence[_T], token: Callable[[_T], bytes], depth: int) -> int:
    """Return the index of the first token whose bit at `depth` is 1; earlier bits are equal."""
    # `bisect` would call a Python function for each element that it compares.
    byte, bit = depth >> 3, 0x80 >> (depth & 7)
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) >> 1
        if token(ordered[middle])[byte] & bit:
            high = middle
        else:
            low = middle + 1
    return low


class PrefixTree:
    """An immutable tree; a change returns a new one that shares the unchanged parts."""

    def __init__(self, tree: _Subtree = None) -> None:
        """Start empty; see also `build` and `from_proof`."""
        self._tree = tree

    @classmethod
    def build(cls, entries: Iterable[FolderEntry]) -> PrefixTree:
        """Return the whole tree over entries with different tokens."""
        ordered = sorted(entries, key=_token_of)
        if any(a.token == b.token for a, b in pairwise(ordered)):
            raise IntegrityError("A folder has two entries under one name.")
        return cls(_build(ordered, 0))

    @classmethod
    def from_proof(cls, proof: bytes, root: Hash) -> PrefixTree:
        """Return the tree in `proof`; `IntegrityError` unless it has exactly this root."""
        reader = _ProofReader(proof)
        tree = cls(reader.read(0, 0))
        reader.finish()
        if not crypto.equal(tree.root, root):
            raise IntegrityError("The server's proof does not fit the folder's signature.")
        return tree

    @property
    def root(self) -> Hash:
        """The root that a folder state names, 32 bytes."""
        return _root(self._tree)

    @property
    def size(self) -> int:
        """Number of visible entries."""
        return _shown(self._tree)

    def get(self, token: Token) -> FolderEntry | None:
        """Return the entry, or None if it is proved absent; `IntegrityError` if not covered."""
        tree, depth = self._tree, 0
        while isinstance(tree, _Branch):
            tree = tree.one if _bit(token, depth) else tree.zero
            depth += 1
        if isinstance(tree, _Opaque):
            raise IntegrityError("The server's proof does not cover the name that was asked for.")
        return tree if tree is not None and tree.token == token else None

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
        return PrefixTree(_update(self._tree, sorted(changes.items()), 0))

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
        """Return the proof for these tokens; for no tokens, only the top of the tree."""
        out: list[bytes] = []
        _prove(self._tree, sorted(set(tokens)), 0, out)
        return b"".join(out)

    def __iter__(self) -> Iterator[FolderEntry]:
        """Yield every visible entry, in the order of the tokens."""
        stack = [self._tree]
        while stack:
            match stack.pop():
                case FolderEntry() as entry:
                    yield entry
                case _Branch(zero, one):
                    stack += [one, zero]


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


_Change = tuple[Token, FolderEntry | None]
_token_of: Callable[[FolderEntry | _Change], Token] = itemgetter(0)


def _build(ordered: Sequence[FolderEntry], depth: int) -> _Subtree:
    if len(ordered) < 2:  # noqa: PLR2004 - none or one
        return ordered[0] if ordered else None
    split = _split(ordered, _token_of, depth)
    return _branch(_build(ordered[:split], depth + 1), _build(ordered[split:], depth + 1))


def _update(tree: _Subtree, changes: Sequence[_Change], depth: int) -> _Subtree:
    """Return a subtree after changes to its tokens, in their order."""
    if not changes:
        return tree
    match tree:
        case _Branch(zero, one):
            split = _split(changes, _token_of, depth)
            return _joined(
                _update(zero, changes[:split], depth + 1), _update(one, changes[split:], depth + 1)
            )
        case _Opaque():
            raise IntegrityError("The server's proof does not cover the name that is written.")
    entries = [entry for _, entry in changes if entry is not None]
    if tree is not None and all(token != tree.token for token, _ in changes):
        insort(entries, tree, key=_token_of)
    return _build(entries, depth)


def _joined(zero: _Subtree, one: _Subtree) -> _Subtree:
    """Return the tree of two sides; a lone entry takes the place of its branch."""
    if zero is None and (one is None or isinstance(one, FolderEntry)):
        return one
    if one is None and isinstance(zero, FolderEntry):
        return zero
    return _branch(zero, one)


def _prove(tree: _Subtree, tokens: list[Token], depth: int, out: list[bytes]) -> None:
    match tree:
        case None:
            out.append(b"\x00")
        case FolderEntry():
            out.append(b"\x01" + tree.token + tree.node + tree.manifest)
        case _Branch(zero, one) if tokens:
            out.append(b"\x03")
            split = _split(tokens, bytes, depth)
            _prove(zero, tokens[:split], depth + 1, out)
            _prove(one, tokens[split:], depth + 1, out)
        case _Branch(zero, one):
            out.append(b"\x02" + _root(zero) + _root(one))
        case _Opaque(zero, one):
            out.append(b"\x02" + zero + one)


class _ProofReader:
    def __init__(self, proof: bytes) -> None:
        self._proof = proof
        self._at = 0

    def _take(self, length: int) -> bytes:
        piece = self._proof[self._at : self._at + length]
        self._at += length
        if len(piece) != length:
            raise RemoteProtocolError("The server's proof was cut short.")
        return piece

    def read(self, depth: int, path: int) -> _Subtree:
        """Read the subtree at `depth` whose tokens start with the `depth` bits of `path`."""
        kind = self._take(1)
        if kind == b"\x00":
            return None
        if kind == b"\x01":
            entry = FolderEntry(
                Token(self._take(_TOKEN)), NodeId(self._take(_NODE)), Hash(self._take(_HASH))
            )
            if int.from_bytes(entry.token, "big") >> (TOKEN_BITS - depth) != path:
                raise IntegrityError("The server's proof has an entry where it cannot be.")
            return entry
        if kind == b"\x02":
            zero_root, one_root = Hash(self._take(_HASH)), Hash(self._take(_HASH))
            return _Opaque(zero_root, one_root, _branch_root(zero_root, one_root))
        if kind == b"\x03" and depth < TOKEN_BITS:
            match self.read(depth + 1, path << 1), self.read(depth + 1, path << 1 | 1):
                case (None, None | FolderEntry()) | (FolderEntry(), None):
                    # A branch has two entries or more. From any other shape the client would
                    # compute and sign a root that the entries do not have.
                    pass
                case zero, one:
                    return _branch(zero, one)
        raise RemoteProtocolError("The server's proof is malformed.")

    def finish(self) -> None:
        """Raise `RemoteProtocolError` unless the whole proof was read."""
        if self._at != len(self._proof):
            raise RemoteProtocolError("The server's proof has something behind its end.")

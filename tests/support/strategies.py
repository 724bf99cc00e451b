"""All Hypothesis strategies of the tests."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

from hypothesis import strategies as st

from fsproto.errors import FsError
from fsproto.keys.tree import KeyedNode
from fsproto.messages import MESSAGES, Message
from fsproto.names import clean_name
from fsproto.packing import Record
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.manifest import Metadata
from fsproto.types import FileKey, Hash, NodeId, NodeKey, Token
from tests.vectors.fields import declared

R = TypeVar("R", bound=Record)

# --- bytes and numbers


def exactly(length: int) -> st.SearchStrategy[bytes]:
    """Draw exactly that many bytes."""
    return st.binary(min_size=length, max_size=length)


node_ids = exactly(16).map(NodeId)
node_keys = exactly(32).map(NodeKey)
file_keys = exactly(32).map(FileKey)
hashes = exactly(32).map(Hash)
generations = st.integers(1, (1 << 32) - 1)
versions = st.integers(1, (1 << 63) - 1)
keyed_nodes = st.builds(KeyedNode, node_ids, generations, node_keys)
"""Nodes with only their newest key."""


@st.composite
def aged_nodes(draw: st.DrawFn, min_generation: int = 1) -> KeyedNode:
    """Draw a node with the key of each of its generations."""
    generation = draw(st.integers(min_generation, min_generation + 4))
    before = st.lists(node_keys, min_size=generation - 1, max_size=generation - 1).map(tuple)
    since = st.integers(1, generation)
    return KeyedNode(draw(node_ids), generation, draw(node_keys), draw(before), draw(since))


packable_ints = st.integers(-(1 << 63), (1 << 64) - 1)
"""The integers that msgpack can represent."""


def flipped(data: bytes, *, start: int = 0) -> st.SearchStrategy[bytes]:
    """Draw `data` with one bit changed, at `start` or after it."""

    def flip(at: int, bit: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    return st.builds(flip, st.integers(start, len(data) - 1), st.integers(0, 7))


def cuttings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Draw a division of `data` into pieces, none of them empty."""

    def cut(at: set[int]) -> list[bytes]:
        edges = [0, *sorted(at), len(data)]
        return [data[a:b] for a, b in pairwise(edges)]

    if len(data) < 2:
        return st.just([data] if data else [])
    return st.sets(st.integers(1, len(data) - 1), max_size=20).map(cut)


# --- text


users = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True)
any_text = st.text(st.characters(exclude_categories=[]), max_size=300)
"""Includes lone surrogates and control characters, as on disks and from keyboards."""
hostile_text = st.text(
    st.sampled_from(
        "ab./:\\~\0\n\r\t\x1b\x7f\x9b\u0308ü\u200b\u202e\u2028\u2066\ud800\U000e0001 -"
    ),
    max_size=24,
)


names = (
    st.text(
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/")
        | st.sampled_from("ab.:\\~ -\u0308\u200b\u202e\u2066"),
        min_size=1,
        max_size=20,
    )
    .filter(lambda text: text not in (".", ".."))
    .map(clean_name)
)
"""Valid file names in normal form, including ones with bidirectional overrides."""

# --- records and messages


def records(kind: type[R], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[R]:
    """Draw records of `kind` with any fields that can be packed."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {name: given.get(name, _values(hints[name])) for name in kind.__struct_fields__}
    return st.builds(kind, **fields)


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if typing.get_origin(kind) is typing.Annotated:
        of, bounds = typing.get_args(kind)
        return _values(of) if bounds.max_length else st.integers(bounds.ge, bounds.le)
    if typing.get_origin(kind) is typing.Literal:
        return st.sampled_from(typing.get_args(kind))
    kind, may_be_none = declared(kind)
    if may_be_none:
        return st.none() | _values(kind)
    if typing.get_origin(kind) is list:
        return st.lists(_values(typing.get_args(kind)[0]), max_size=3)
    if issubclass(kind, Record):
        return records(kind)
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    simple: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: packable_ints,
        bytes: st.binary(max_size=80),
        str: st.text(max_size=40),
    }
    return simple[kind]


messages: st.SearchStrategy[Message] = st.one_of([records(kind) for kind in MESSAGES])
file_metadata = records(Metadata, name=names, size=st.integers(0, 1 << 50), file_key=file_keys)

# --- prefix trees


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    """Draw a token; many of them share long prefixes, down to the very last bit."""
    shared = draw(st.sampled_from([0, 0, 0, 0, 1, 2, 7, 8, 9, 30, 254, 255]))
    base = int.from_bytes(b"\x5a" * 32, "big")
    rest = 256 - shared
    low = draw(st.integers(0, (1 << rest) - 1))
    return Token((base >> rest << rest | low).to_bytes(32, "big"))


entries = st.builds(FolderEntry, tokens(), node_ids, hashes)


def folders(max_size: int = 8) -> st.SearchStrategy[list[FolderEntry]]:
    """Draw the entries of a folder."""
    return st.lists(entries, max_size=max_size, unique_by=lambda entry: entry.token)


# --- results


def outcome(act: Callable[[], object]) -> FsError | None:
    """Return the `FsError` that `act` raises, None without one; other exceptions are not caught."""
    try:
        act()
    except FsError as error:
        return error
    return None

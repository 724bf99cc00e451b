"""Prefix trees in pages, so that a large folder is read and changed along single paths.

The branches of a tree are grouped by their depth, four bits a group. A page has the branches of one
group that are connected: at most 15. Its data is the page in postorder, so each branch comes after
its two sides:

    0x01 token node-id manifest-hash                       an entry
    0x02 u8 group  root  first 4 * group bits of a place   a part that has its own page
    0x03 u8 depth                                          a branch

The position of a page is the group and the first 4 * group bits of the places in it. The top page
has the empty position, whatever its group. A part that is not read is an `Opaque` in the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fsproto.proofs.prefix_tree import (
    Branch,
    FolderEntry,
    Opaque,
    Part,
    PrefixTree,
    bit_of,
    branch,
    place_number,
    with_sides,
)
from fsproto.types import Hash, NodeId, Token

_GROUP = 4
"""Bits of a group; small pages are cheap to change, large ones need fewer rows."""
_BITS, _TOKEN, _NODE, _HASH = 256, 32, 16, 32
_ENTRY_SIZE = _TOKEN + _NODE + _HASH
_ENTRY, _PAGE, _BRANCH = 1, 2, 3
_TOP = -1
"""The group above the top page."""

Pages = Mapping[bytes, bytes]
"""The data of pages, by position."""
Fetch = Callable[[Sequence[bytes]], Pages]
"""Returns the pages at some positions, as far as they exist."""


class WrongPagesError(Exception):
    """The stored pages of a tree are not those of its root."""


def unread(root: Hash) -> PrefixTree:
    """Return the tree with this root of which no page is read; it has an entry."""
    return PrefixTree(Opaque(root, 0, 0))


def filled(tree: PrefixTree, tokens: Iterable[Token], fetch: Fetch) -> PrefixTree:
    """Return the tree with all pages on the paths of some tokens.

    It proves each token present or absent, and can be changed at these tokens. One call of `fetch`
    gets the pages of one level. Raises `WrongPagesError` if a page is missing or has another root.
    """
    places = sorted(map(place_number, tokens))
    read = dict[bytes, Part]()
    left = _unread_parts(tree.top, places)
    while left:
        pages = fetch([_position(part.depth, part.place) for part, _ in left])
        following = list[tuple[Opaque, list[int]]]()
        for part, some in left:
            position = _position(part.depth, part.place)
            data = pages.get(position)
            found = None if data is None else _read(data)
            if found is None or found.root != part.root:
                raise WrongPagesError
            read[position] = found
            following += _unread_parts(found, some)
        left = following
    return PrefixTree(_grafted(tree.top, places, read)) if read else tree


def cut(tree: PrefixTree, tokens: Iterable[Token]) -> PrefixTree:
    """Return the tree without the pages that are on no path of these tokens."""
    top = tree.top
    return tree if top is None else PrefixTree(_cut(top, sorted(map(place_number, tokens)), _TOP))


def changed(old: PrefixTree | None, new: PrefixTree) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the pages to write, by position, and the positions of pages to delete.

    `new` was made from `old` by changes; without `old`, all pages are written. The work depends on
    the number of changed pages only, because unchanged parts are the same objects in both.
    """
    before, after = _Tops(), _Tops()
    _compare(None if old is None else old.top, new.top, (_TOP, _TOP), before, after)
    return (
        {at: _page(part) for at, part in after.items() if before.get(at) is not part},
        [at for at in before if at not in after],
    )


def _group(part: Branch) -> int:
    return part.depth // _GROUP


def _position(known: int, place: int) -> bytes:
    """Return the position of a page; `known`: the number of bits that its places share."""
    if not known:
        return b""
    length = (known + 7) >> 3
    first = place >> _BITS - 8 * length
    if known & _GROUP:
        first = first >> _GROUP << _GROUP
    return bytes((known // _GROUP,)) + first.to_bytes(length, "big")


def _first(known: int, place: int) -> int:
    low = _BITS - known
    return place >> low << low


def _as_opaque(part: Branch) -> Opaque:
    known = _group(part) * _GROUP
    return Opaque(part.root, _first(known, part.place), known)


def _sides(part: Branch, places: Iterable[int]) -> tuple[list[int], list[int]]:
    sides: tuple[list[int], list[int]] = [], []
    for place in places:
        sides[bit_of(place, part.depth)].append(place)
    return sides


# --- reading


def _unread_parts(part: Part | None, places: list[int]) -> list[tuple[Opaque, list[int]]]:
    """Return the parts on the paths of some places that are not read, with these places."""
    found, left = list[tuple[Opaque, list[int]]](), [(part, places)]
    while left:
        part, some = left.pop()
        if isinstance(part, Branch) and some:
            zeros, ones = _sides(part, some)
            left += [(part.zero, zeros), (part.one, ones)]
        elif isinstance(part, Opaque) and some:
            found.append((part, some))
    return found


def _grafted(part: Part | None, places: list[int], read: Mapping[bytes, Part]) -> Part | None:
    if part is None or not places:
        return part
    return _grafted_part(part, places, read)


def _grafted_part(part: Part, places: list[int], read: Mapping[bytes, Part]) -> Part:
    if not places or isinstance(part, FolderEntry):
        return part
    if isinstance(part, Opaque):
        return _grafted_part(read[_position(part.depth, part.place)], places, read)
    zeros, ones = _sides(part, places)
    zero = _grafted_part(part.zero, zeros, read)
    one = _grafted_part(part.one, ones, read)
    return part if zero is part.zero and one is part.one else with_sides(part, zero, one)


def _read(data: bytes) -> Part | None:
    """Return the part that a page holds; None if the data is no page."""
    parts, at, end = list[Part](), 0, len(data)
    try:
        while at < end:
            kind, start = data[at], at + 1
            if kind == _BRANCH:
                one, zero, at = parts.pop(), parts.pop(), at + 2
                parts.append(branch(zero, one, _place_in(zero, one), data[start]))
            elif kind == _ENTRY:
                node, manifest, at = start + _TOKEN, start + _TOKEN + _NODE, start + _ENTRY_SIZE
                token, of = Token(data[start:node]), Hash(data[manifest:at])
                parts.append(FolderEntry(token, NodeId(data[node:manifest]), of))
            elif kind == _PAGE:
                known, root = data[start] * _GROUP, start + 1
                length, place = (known + 7) >> 3, root + _HASH
                at = place + length
                first = int.from_bytes(data[place:at], "big") << _BITS - 8 * length
                parts.append(Opaque(Hash(data[root:place]), first, known))
            else:
                return None
    except (IndexError, ValueError):
        return None
    return parts[0] if at == end and len(parts) == 1 else None


def _place_in(zero: Part, one: Part) -> int:
    """Return a place in one of two parts, by a hash only where both are entries."""
    if not isinstance(zero, FolderEntry):
        return zero.place
    return place_number(zero.token) if isinstance(one, FolderEntry) else one.place


# --- writing


def _page(top: Part) -> bytes:
    out = bytearray()
    _write(top, _group(top) if isinstance(top, Branch) else _TOP, out)
    return bytes(out)


def _write(part: Part, group: int, out: bytearray) -> None:
    if isinstance(part, Branch):
        if part.depth // _GROUP == group:
            _write(part.zero, group, out)
            _write(part.one, group, out)
            out.append(_BRANCH)
            out.append(part.depth)
            return
        known = part.depth // _GROUP * _GROUP
        position = _position(known, part.place)
    elif isinstance(part, FolderEntry):
        out.append(_ENTRY)
        out += part.token + part.node + part.manifest
        return
    else:
        position = _position(part.depth, part.place)
    out.append(_PAGE)
    out += position[:1] + part.root + position[1:]


def _cut(part: Part, places: list[int], above: int) -> Part:
    if not isinstance(part, Branch):
        return part
    group = _group(part)
    if not places and above not in (_TOP, group):
        return _as_opaque(part)
    zeros, ones = _sides(part, places)
    zero, one = _cut(part.zero, zeros, group), _cut(part.one, ones, group)
    return part if zero is part.zero and one is part.one else with_sides(part, zero, one)


_Tops = dict[bytes, Part]
"""The tops of pages, by position."""


def _compare(
    old: Part | None, new: Part | None, above: tuple[int, int], before: _Tops, after: _Tops
) -> None:
    """Collect the tops of the pages in which two trees differ, by position.

    `above` are the groups of the branches above. Unchanged parts are left out, except where such a
    part is the top of a page in one of the trees alone.
    """
    if old is new and above[0] == above[1]:
        return
    a, b = (part if isinstance(part, Branch) else None for part in (old, new))
    is_old, is_new = _goes_first(a, b), _goes_first(b, a)
    groups = (
        _note(old, above[0], before) if is_old else above[0],
        _note(new, above[1], after) if is_new else above[1],
    )
    if old is new or (a is None and b is None):
        return
    if a is not None and b is not None and is_old and is_new:
        _compare(a.zero, b.zero, groups, before, after)
        _compare(a.one, b.one, groups, before, after)
    elif a is not None and is_old:  # the other branch, if there is one, belongs to one of the sides
        is_one = b is not None and bit_of(b.place, a.depth)
        _compare(a.zero, None if is_one else b, groups, before, after)
        _compare(a.one, b if is_one else None, groups, before, after)
    elif b is not None:
        is_one = a is not None and bit_of(a.place, b.depth)
        _compare(None if is_one else a, b.zero, groups, before, after)
        _compare(a if is_one else None, b.one, groups, before, after)


def _goes_first(part: Branch | None, other: Branch | None) -> bool:
    """Return whether a part is compared now, and not below the other one."""
    return part is None or other is None or part.depth <= other.depth


def _note(part: Part | None, above: int, tops: _Tops) -> int:
    """Note a part that is the top of a page; return its group, or the one above it."""
    if isinstance(part, Branch):
        group = part.depth // _GROUP
        if group != above:
            tops[_position(0 if above == _TOP else group * _GROUP, part.place)] = part
        return group
    if part is not None and above == _TOP:
        tops[b""] = part
    return above

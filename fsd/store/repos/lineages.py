"""Queries on the hashes of versions that newer ones have replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session as Db

from fsd.store.models import OlderHash, table
from fsd.store.repos.many import for_each, stream
from fsproto.messages.history import LineageRange, Lineal

_HASHES = table(OlderHash)
_KEEP = insert(_HASHES)
_RANGE = (
    select(_HASHES.c.hash)
    .where(
        _HASHES.c.node_id == bindparam("node"),
        _HASHES.c.what == bindparam("what"),
        _HASHES.c.version > bindparam("after"),
        _HASHES.c.version < bindparam("before"),
    )
    .order_by(_HASHES.c.version)
)


def keep(db: Db, what: Lineal, replaced: Iterable[tuple[bytes, int, bytes]]) -> None:
    """Keep the hashes of versions that are about to be replaced: node, version, hash."""
    rows: list[dict[str, object]] = [
        {"node_id": node, "what": int(what), "version": version, "hash": hash_of}
        for node, version, hash_of in replaced
        if version > 1
    ]
    for_each(db, _KEEP, rows)


def between(db: Db, asked: LineageRange) -> Iterator[bytes]:
    """Yield the hashes of the versions between two others, the oldest first."""
    what, after, before = int(asked.what), asked.after, asked.before
    rows = stream(db, _RANGE, node=asked.node, what=what, after=after, before=before)
    return (found for (found,) in rows)

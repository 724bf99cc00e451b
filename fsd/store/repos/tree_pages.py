"""Queries on the pages of prefix trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, select, text, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import FolderState, TreePage, table
from fsd.store.repos.many import SOME, change, for_each, of_some, run

_PAGES, _STATES = table(TreePage), table(FolderState)
_FOLDER = _PAGES.c.folder_id == bindparam("folder")
_ALL = select(_PAGES.c.position, _PAGES.c.data).where(_FOLDER)
_SOME_PAGES = _ALL.where(_PAGES.c.position.in_(SOME))
_DROP_ALL = delete(_PAGES).where(_FOLDER)
_DROP = _DROP_ALL.where(_PAGES.c.position == bindparam("at"))
_PUT = text(
    "INSERT INTO tree_pages (folder_id, position, data) VALUES (:folder, :at, :data) "
    "ON CONFLICT (folder_id, position) DO UPDATE SET data = excluded.data"
)
_COUNT = (
    update(_STATES)
    .where(_STATES.c.folder_id == bindparam("folder"))
    .values(entries=bindparam("number"))
)


def get(db: Db, folder: bytes, positions: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the pages of a folder at some positions, as far as they exist."""
    rows = of_some(db, _SOME_PAGES, positions, folder=folder)
    return dict(rows)


def get_all(db: Db, folder: bytes) -> dict[bytes, bytes]:
    """Return all pages of a folder."""
    rows = run(db, _ALL, folder=folder)
    return dict(rows)


def put(
    db: Db, folder: bytes, pages: Mapping[bytes, bytes], gone: Sequence[bytes], entries: int
) -> None:
    """Write some pages of a folder, delete others, and store the number of its entries."""
    for_each(db, _DROP, [{"folder": folder, "at": at} for at in gone])
    rows: list[dict[str, object]] = [
        {"folder": folder, "at": at, "data": data} for at, data in sorted(pages.items())
    ]
    for_each(db, _PUT, rows)
    change(db, _COUNT, folder=folder, number=entries)


def drop(db: Db, folder: bytes) -> None:
    """Delete all pages of a folder; its tree is built from its entries from now on."""
    change(db, _DROP_ALL, folder=folder)
    change(db, _COUNT, folder=folder, number=None)

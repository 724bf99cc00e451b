"""Queries on request links, and on the files that are sent with them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.orm import Session as Db

from fsd.store.drop_models import Drop
from fsd.store.models import User
from fsd.store.repos import uploads
from fsd.store.repos.many import helpings
from fsd.store.request_models import RequestFile, RequestLink
from fsproto.sealed import stream

_PAGE = 100
"""Request links that are read at a time."""
_AS_IS = {"synchronize_session": False}


def get(db: Db, request: bytes) -> RequestLink | None:
    """Return one request link."""
    return db.get(RequestLink, request)


def hold(db: Db, request: bytes) -> RequestLink | None:
    """Return one request link, locked until the end of this transaction."""
    return db.get(RequestLink, request, with_for_update=True, populate_existing=True)


def owner(db: Db, request: RequestLink) -> User | None:
    """Return the owner of a request link."""
    return db.get(User, request.user_id)


def count(db: Db, user_id: int) -> int:
    """Return how many request links a user has."""
    ask = select(func.count()).select_from(RequestLink).where(RequestLink.user_id == user_id)
    return db.scalar(ask) or 0


def add(db: Db, row: RequestLink | RequestFile) -> None:
    """Store a new request link, or a new file of one."""
    db.add(row)
    db.flush()


def of_user(db: Db, user_id: int, after: RequestLink | None = None) -> list[RequestLink]:
    """Return some of the request links of a user, oldest first; none after the last."""
    ask = select(RequestLink).where(RequestLink.user_id == user_id)
    ask = ask.order_by(RequestLink.made_ms, RequestLink.id).limit(_PAGE)
    if after is not None:
        ask = ask.where(tuple_(RequestLink.made_ms, RequestLink.id) > (after.made_ms, after.id))
    return list(db.scalars(ask))


def waiting(db: Db, user_id: int) -> dict[bytes, int]:
    """Return how many drops of each request link wait for a user."""
    ask = select(Drop.request_id, func.count()).where(
        Drop.user_id == user_id, Drop.request_id.is_not(None)
    )
    found = db.execute(ask.group_by(Drop.request_id))
    return {request: number for request, number in found if request is not None}


def end(db: Db, user_id: int, requests: Sequence[bytes]) -> int:
    """End request links of a user; return how many took files before."""
    changed = 0
    for some in helpings(requests):
        mine = update(RequestLink).where(
            RequestLink.id.in_(some), RequestLink.user_id == user_id, RequestLink.ended.is_(False)
        )
        done = db.execute(mine.values(ended=True), execution_options=_AS_IS)
        changed += done.rowcount  # type: ignore[attr-defined]
    return changed


def drop_all(db: Db, user_id: int) -> list[str]:
    """Delete all request links of a user, with their uploads; return the places of these."""
    db.execute(delete(RequestLink).where(RequestLink.user_id == user_id), execution_options=_AS_IS)
    return uploads.drop_all(db, uploads_of(user_id))


# --- files


def uploads_of(user_id: int) -> int:
    """Return the owner of the uploads with a user's request links."""
    return -user_id


def file(db: Db, drop: bytes) -> RequestFile | None:
    """Return a file that is being sent, or was complete within a day."""
    return db.get(RequestFile, drop, populate_existing=True)


def forget_file(db: Db, row: RequestFile) -> None:
    """Delete the row of a file, and give back what it counts if it is not complete."""
    if row.root is None:
        _give_back(db, row.request_id, 1, stream.plain_size(row.size) or 0)
    db.delete(row)
    db.flush()


def touch(db: Db, drop: bytes, now_ms: int) -> None:
    """Note that a file is being received."""
    same = update(RequestFile).where(RequestFile.drop_id == drop)
    db.execute(same.values(touched_ms=now_ms), execution_options=_AS_IS)


def unfinished(db: Db, user_id: int, since_ms: int = 0) -> tuple[int, int]:
    """Return how many files are being sent to a user, and their sealed bytes.

    With `since_ms`, only those that were touched since then.
    """
    ask = select(func.count(), func.coalesce(func.sum(RequestFile.size), 0)).where(
        RequestFile.user_id == user_id,
        RequestFile.root.is_(None),
        RequestFile.touched_ms >= since_ms,
    )
    number, size = db.execute(ask).one()
    return int(number), int(size)


def tidy(db: Db, now_ms: int, before_ms: int) -> None:
    """Give back files without progress since a time; delete links that have ended.

    A request link that has ended or expired stays while drops of it wait, or files are sent.
    """
    old = select(RequestFile).where(RequestFile.touched_ms < before_ms)
    for row in list(db.scalars(old)):
        forget_file(db, row)
    used = select(Drop.request_id).where(Drop.request_id == RequestLink.id)
    sent = select(RequestFile.drop_id).where(RequestFile.request_id == RequestLink.id)
    over = RequestLink.ended | (RequestLink.expires_ms <= now_ms)
    gone = delete(RequestLink).where(over, ~used.exists(), ~sent.exists())
    db.execute(gone, execution_options=_AS_IS)


def _give_back(db: Db, request: bytes, files: int, size: int) -> None:
    less = update(RequestLink).where(RequestLink.id == request)
    less = less.values(files=RequestLink.files - files, size=RequestLink.size - size)
    db.execute(less, execution_options=_AS_IS)

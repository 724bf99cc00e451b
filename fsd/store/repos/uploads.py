"""Queries on uploads, their parts, and places in the blob store that are to be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session as Db

from fsd.store.models import Blob, table
from fsd.store.repos.many import change, for_each, helpings, scalar
from fsd.store.upload_models import DoomedPlace, Part, Upload

_AS_IS = {"synchronize_session": False}
_UPLOADS, _DOOMED = table(Upload), table(DoomedPlace)
_NEW_PART, _DOOM = insert(table(Part)), insert(_DOOMED)
# Built once: every upload runs them, and SQLAlchemy takes longer to build one than to run it.
_CLAIM = delete(_DOOMED).where(
    _DOOMED.c.place == bindparam("of"), _DOOMED.c.is_collected.is_(False)
)
_GROWN = (
    update(_UPLOADS)
    .where(_UPLOADS.c.place == bindparam("of"), _UPLOADS.c.epoch == bindparam("held"))
    .values(
        size=_UPLOADS.c.size + bindparam("more"),
        touched_ms=bindparam("now"),
        lease_until_ms=bindparam("until"),
    )
)
_MINE = select(_UPLOADS.c.place).where(
    _UPLOADS.c.owner_id == bindparam("owner"), _UPLOADS.c.salt == bindparam("salt")
)


class UploadKey(NamedTuple):
    """The right to change an upload; it ends when another connection takes the upload over."""

    place: str
    epoch: int


class RecordedPart(NamedTuple):
    """A part that the blob store has."""

    size: int
    tag: str
    leaves: bytes


class RecordedUpload(NamedTuple):
    """An upload as another connection has left it."""

    key: UploadKey
    remote_id: str
    parts: list[RecordedPart]


# --- uploads


def start(
    db: Db,
    owner_id: int,
    salt: bytes,
    place: str,
    remote_id: str,
    *,
    now_ms: int,
    lease_until_ms: int,
    node: str = "",
) -> UploadKey | None:
    """Record an upload, in place of an earlier one with this salt; None if its place is lost."""
    if not claim(db, place):
        return None
    drop(db, owner_id, salt)
    db.execute(
        insert(Upload).values(
            place=place,
            owner_id=owner_id,
            salt=salt,
            remote_id=remote_id,
            epoch=1,
            size=0,
            touched_ms=now_ms,
            lease_until_ms=lease_until_ms,
            node=node,
        )
    )
    return UploadKey(place, 1)


def take_over(
    db: Db, owner_id: int, salt: bytes, *, now_ms: int, lease_until_ms: int, node: str = ""
) -> RecordedUpload | None:
    """Take an upload over from the connection that had it; None if there is none."""
    mine = (Upload.owner_id == owner_id, Upload.salt == salt)
    raised = update(Upload).where(*mine)
    raised = raised.values(
        epoch=Upload.epoch + 1, touched_ms=now_ms, lease_until_ms=lease_until_ms, node=node
    )
    found = db.execute(
        raised.returning(Upload.place, Upload.epoch, Upload.remote_id), execution_options=_AS_IS
    ).one_or_none()
    if found is None:
        return None
    place, epoch, remote_id = found
    ask = select(Part.size, Part.tag, Part.leaves).where(Part.place == place)
    rows = db.execute(ask.order_by(Part.number))
    return RecordedUpload(UploadKey(place, epoch), remote_id, [RecordedPart(*row) for row in rows])


def add_part(
    db: Db, key: UploadKey, number: int, part: RecordedPart, *, now_ms: int, lease_until_ms: int
) -> bool:
    """Record a part; False if another connection has taken the upload over."""
    place, epoch = key
    grown = {"more": part.size, "now": now_ms, "until": lease_until_ms}
    if change(db, _GROWN, of=place, held=epoch, **grown) != 1:
        return False
    for_each(db, _NEW_PART, [{"place": key.place, "number": number, **part._asdict()}])
    return True


def cut(db: Db, key: UploadKey, parts: Sequence[RecordedPart]) -> bool:
    """Forget the parts after the first ones; False if another connection has the upload."""
    cut = update(Upload).where(Upload.place == key.place, Upload.epoch == key.epoch)
    cut = cut.values(size=sum(part.size for part in parts))
    if db.execute(cut, execution_options=_AS_IS).rowcount != 1:  # type: ignore[attr-defined]
        return False
    gone = delete(Part).where(Part.place == key.place, Part.number > len(parts))
    db.execute(gone, execution_options=_AS_IS)
    return True


def is_held(db: Db, key: UploadKey) -> bool:
    """Return whether no other connection has taken an upload over; none does in this transaction.

    Unlike a change, it needs no space on the disk.
    """
    held = select(Upload.place).where(Upload.place == key.place, Upload.epoch == key.epoch)
    return db.scalar(held.with_for_update()) is not None


def let_go(db: Db, key: UploadKey) -> bool:
    """End the lease of an upload that was interrupted; False if another connection has it."""
    ended = update(Upload).where(Upload.place == key.place, Upload.epoch == key.epoch)
    ended = ended.values(lease_until_ms=0)
    return bool(db.execute(ended, execution_options=_AS_IS).rowcount)  # type: ignore[attr-defined]


def renew(db: Db, keys: Sequence[UploadKey], lease_until_ms: int) -> None:
    """Extend the leases of uploads that connections of this server receive."""
    for place, epoch in keys:
        later = update(Upload).where(Upload.place == place, Upload.epoch == epoch)
        db.execute(later.values(lease_until_ms=lease_until_ms), execution_options=_AS_IS)


def end(db: Db, key: UploadKey) -> bool:
    """Delete an upload that is over; False if another connection has it.

    The caller records its place as that of a blob, or dooms it.
    """
    over = delete(Upload).where(Upload.place == key.place, Upload.epoch == key.epoch)
    return bool(db.execute(over, execution_options=_AS_IS).rowcount)  # type: ignore[attr-defined]


def drop(db: Db, owner_id: int, salt: bytes) -> list[str]:
    """Delete a user's upload with a salt, whoever has it; return the place if there was one."""
    place = _place_of(db, owner_id, salt)
    return [] if place is None else _drop(db, [place])


def drop_all(db: Db, owner_id: int) -> list[str]:
    """Delete all uploads of a user; return their places."""
    return _drop(db, list(db.scalars(select(Upload.place).where(Upload.owner_id == owner_id))))


def drop_stale(db: Db, before_ms: int) -> list[str]:
    """Delete the uploads that were last touched before a time; return their places."""
    stale = select(Upload.place).where(Upload.touched_ms < before_ms)
    return _drop(db, list(db.scalars(stale)))


def drop_oldest(db: Db, owner_id: int, now_ms: int, keep: int) -> list[str]:
    """Delete a user's interrupted uploads except the newest ones; return their places."""
    interrupted = select(Upload.place).where(
        Upload.owner_id == owner_id, Upload.lease_until_ms <= now_ms
    )
    old = interrupted.order_by(Upload.touched_ms.desc(), Upload.place).offset(keep)
    return _drop(db, list(db.scalars(old)))


def _drop(db: Db, places: list[str]) -> list[str]:
    for some in helpings(places):
        db.execute(delete(Upload).where(Upload.place.in_(some)), execution_options=_AS_IS)
    doom(db, places)
    return places


def exists(db: Db, owner_id: int, salt: bytes) -> bool:
    """Return whether a user has an upload with this salt."""
    return _place_of(db, owner_id, salt) is not None


def _place_of(db: Db, owner_id: int, salt: bytes) -> str | None:
    found: str | None = scalar(db, _MINE, owner=owner_id, salt=salt)
    return found


def interrupted_bytes(db: Db, owner_id: int, now_ms: int, besides: bytes) -> int:
    """Return the bytes of a user's interrupted uploads, except the one with a salt."""
    counted = select(func.coalesce(func.sum(Upload.size), 0)).where(
        Upload.owner_id == owner_id, Upload.lease_until_ms <= now_ms, Upload.salt != besides
    )
    return int(db.scalar(counted) or 0)


# --- places


def doom(db: Db, places: Iterable[str], due_ms: int | None = None) -> None:
    """Have the blobs at some places deleted at a time; None: when the blob store's rule says."""
    rows: list[dict[str, object]] = [
        {"place": place, "due_ms": due_ms, "is_collected": False} for place in places
    ]
    for_each(db, _DOOM, rows)


def claim(db: Db, place: str) -> bool:
    """Save a place from deletion; False if it is deleted already, or has started to be."""
    return bool(change(db, _CLAIM, of=place))


def set_due(db: Db, places: Sequence[str], due_ms: int) -> None:
    """Set another time for the deletion of doomed places."""
    for some in helpings(places):
        doomed = update(DoomedPlace).where(DoomedPlace.place.in_(some), ~DoomedPlace.is_collected)
        db.execute(doomed.values(due_ms=due_ms), execution_options=_AS_IS)


def collect(db: Db, now_ms: int, after_ms: int, most: int) -> list[str]:
    """Return some places to delete now; nothing can claim them any longer.

    A place without a time is due `after_ms` later.
    """
    undated = update(DoomedPlace).where(DoomedPlace.due_ms.is_(None))
    db.execute(undated.values(due_ms=now_ms + after_ms), execution_options=_AS_IS)
    due = select(DoomedPlace.place).where(DoomedPlace.due_ms <= now_ms)
    places = list(db.scalars(due.order_by(DoomedPlace.due_ms, DoomedPlace.place).limit(most)))
    taken: list[str] = []
    for some in helpings(places):
        # A concurrent transaction may have claimed some of them since.
        mine = update(DoomedPlace).where(DoomedPlace.place.in_(some), DoomedPlace.due_ms <= now_ms)
        marked = mine.values(is_collected=True).returning(DoomedPlace.place)
        taken += db.scalars(marked, execution_options=_AS_IS)
    return taken


def forget(db: Db, places: Sequence[str]) -> None:
    """Delete the rows of places whose blobs were deleted."""
    for some in helpings(places):
        gone = delete(DoomedPlace).where(DoomedPlace.place.in_(some), DoomedPlace.is_collected)
        db.execute(gone, execution_options=_AS_IS)


def known(db: Db, places: Sequence[str]) -> set[str]:
    """Return those of some places that a row names."""
    return {
        place
        for some in helpings(places)
        for column in (Blob.place, Upload.place, DoomedPlace.place)
        for place in db.scalars(select(column).where(column.in_(some)))
        if place is not None
    }

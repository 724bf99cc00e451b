"""Queries on users, their public keys, and their used one-time passwords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Select,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session as Db

from fsd.store.models import Blob, Bundle, Node, Tree, UsedOtp, User, table
from fsd.store.quota_models import Handover, Quota
from fsd.store.repos import requests, uploads
from fsd.store.repos.many import helpings, scalar
from fsproto.sealed.manifest import NodeKind

_BUNDLES, _NODES, _BLOBS = table(Bundle), table(Node), table(Blob)
_QUOTAS, _HANDOVERS = table(Quota), table(Handover)

APART = 2
"""By how many steps two right codes of one moment may be apart."""


def by_name(db: Db, name: str) -> User | None:
    """Return the user of that name."""
    return db.scalar(select(User).where(User.name == name))


def name_of(db: Db, user_id: int) -> str:
    """Return the name of a user."""
    return db.scalar(select(User.name).where(User.id == user_id)) or "?"


def anybody(db: Db) -> User | None:
    """Return the user with the lowest id."""
    return db.scalar(select(User).order_by(User.id).limit(1))


def everybody(db: Db) -> list[User]:
    """Return all users by name."""
    return list(db.scalars(select(User).order_by(User.name)))


def names(db: Db) -> list[str]:
    """Return the names of all users."""
    return list(db.scalars(select(User.name)))


def hold(db: Db, user_id: int) -> User | None:
    """Return a user, locked until the end of this transaction, so that no other changes the keys.

    At enrolment, the consumed step of the one-time password locks the row.
    """
    return db.get(User, user_id, with_for_update=True, populate_existing=True)


def is_expired(expires_ms: int | None, now_ms: int) -> bool:
    """Return whether an account has expired; None: it never does."""
    return expires_ms is not None and expires_ms <= now_ms


def is_out(user: User, now_ms: int) -> bool:
    """Return whether an account may not log in: it is disabled, or has expired."""
    return user.disabled or is_expired(user.expires_ms, now_ms)


def bundle(db: Db, user_id: int) -> Bundle | None:
    """Return a user's current public keys."""
    newest = select(Bundle).where(Bundle.user_id == user_id).order_by(Bundle.version.desc())
    return db.scalar(newest.limit(1))


# Built once: every commit runs it, and SQLAlchemy takes longer to build it than to run it.
_CURRENT_KEY = (
    select(_BUNDLES.c.ed25519)
    .where(_BUNDLES.c.user_id == bindparam("of"))
    .order_by(_BUNDLES.c.version.desc())
    .limit(1)
)


def current_key(db: Db, user_id: int) -> bytes | None:
    """Return a user's current identity key (Ed25519, 32 bytes); None without keys."""
    found: bytes | None = scalar(db, _CURRENT_KEY, of=user_id)
    return found


def latest_bundles(db: Db, user_id: int, most: int) -> list[Bundle | None]:
    """Return a user's newest public keys, the newest first; [None] if there are none."""
    newest = select(Bundle).where(Bundle.user_id == user_id).order_by(Bundle.version.desc())
    return list(db.scalars(newest.limit(most))) or [None]


def rotations_since(db: Db, user_id: int, since_ms: int) -> list[int]:
    """Return when a user has replaced their keys after a time, in Unix ms; the oldest first."""
    rows = select(Bundle.created_ms).where(
        Bundle.user_id == user_id, Bundle.version > 1, Bundle.created_ms > since_ms
    )
    return list(db.scalars(rows.order_by(Bundle.version)))


def use_step(db: Db, user_id: int, secret_no: int, step: int, now_ms: int) -> bool:
    """Consume a step; False if it, or a later one, was used before.

    One conditional update decides between concurrent logins in all processes and on all nodes. The
    row in `used_otps` is the record, and its primary key is a second lock.
    """
    later = update(User).where(User.id == user_id, User.last_step < step).values(last_step=step)
    if db.execute(later.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        return False
    _note_step(db, user_id, secret_no, step, now_ms)
    return True


def move_to_next(db: Db, user_id: int, secret_no: int, step: int, now_ms: int) -> bool:
    """Replace the old secret by the new one, number `secret_no`, and consume its step.

    False if no new secret waits (of concurrent calls, only one finds it), or if the last used step
    is more than `APART` steps later. A smaller difference is possible: the last step was one of
    the old secret, and the clock of that device may be ahead.
    """
    waiting = update(User).where(
        User.id == user_id, User.next_secret.is_not(None), User.last_step <= step + APART
    )
    moved = waiting.values(otp_secret=User.next_secret, next_secret=None, last_step=step)
    if db.execute(moved.execution_options(synchronize_session=False)).rowcount != 1:  # type: ignore[attr-defined]
        return False
    _note_step(db, user_id, secret_no, step, now_ms)
    return True


def _note_step(db: Db, user_id: int, secret_no: int, step: int, now_ms: int) -> None:
    row = {"user_id": user_id, "secret_no": secret_no, "step": step, "used_ms": now_ms}
    db.execute(insert(UsedOtp).values(row))


def was_used(db: Db, user_id: int, secret_no: int, step: int) -> bool:
    """Return whether a step of a secret was used within the last day."""
    return db.get(UsedOtp, (user_id, secret_no, step)) is not None


def tree(db: Db, user_id: int) -> Tree | None:
    """Return the root of a user's tree."""
    return db.get(Tree, user_id)


def count_files(db: Db) -> int:
    """Return the number of existing files, whoever owns them."""
    files = select(func.count()).where(Node.kind == NodeKind.FILE, Node.removed_ms.is_(None))
    return db.scalar(files) or 0


_SOME_USERS: BindParameter[int] = bindparam("users", expanding=True)
_FOLDERS = (  # the condition is that of the index, as text, or SQLite would not use it
    select(_NODES.c.owner_id, func.count())
    .where(_NODES.c.owner_id.in_(_SOME_USERS), _NODES.c.parent_id.is_not(None))
    .where(text("kind = 2 AND removed_ms IS NULL"))
    .group_by(_NODES.c.owner_id)
)
_FILES = (
    select(_NODES.c.owner_id, func.count())
    .where(_NODES.c.owner_id.in_(_SOME_USERS), _NODES.c.parent_id.is_not(None))
    .where(_NODES.c.kind == int(NodeKind.FILE), _NODES.c.removed_ms.is_(None))
    .group_by(_NODES.c.owner_id)
)
_STORED = (
    select(_BLOBS.c.owner_id, func.sum(_BLOBS.c.size))
    .where(_BLOBS.c.owner_id.in_(_SOME_USERS), _BLOBS.c.node_id.is_not(None))
    .group_by(_BLOBS.c.owner_id)
)
_NOTED_FILES = select(_QUOTAS.c.user_id, _QUOTAS.c.used_files).where(
    _QUOTAS.c.user_id.in_(_SOME_USERS)
)
_SHARING = select(_HANDOVERS.c.user_id, _HANDOVERS.c.payer_id).where(
    or_(_HANDOVERS.c.user_id.in_(_SOME_USERS), _HANDOVERS.c.payer_id.in_(_SOME_USERS))
)


class Usage(NamedTuple):
    """What a user's own tree holds."""

    files: int = 0
    """Present files; removed ones do not count."""
    folders: int = 0
    """Present folders, without the root."""
    stored_bytes: int = 0
    """Sealed bytes of all contents, with older versions and removed files while they are kept."""


def usage(db: Db, users: Sequence[int]) -> dict[int, Usage]:
    """Return what each of some users' trees holds.

    The number of files is the one in the user's quota, and the other two have an index, so that
    the work does not grow with the rows of the tree. Only trees that share a quota are counted.
    """
    found = dict.fromkeys(users, Usage())
    for some in helpings(users):
        folders = dict(_rows(db, _FOLDERS, some))
        stored = dict(_rows(db, _STORED, some))
        noted = dict(_rows(db, _NOTED_FILES, some))
        sharing = {user for pair in _rows(db, _SHARING, some) for user in pair}
        counted = [user for user in some if user in sharing or user not in noted]
        files = noted | dict.fromkeys(counted, 0) | dict(_rows(db, _FILES, counted))
        for user in some:
            sums = files[user], folders.get(user, 0), int(stored.get(user) or 0)
            found[user] = Usage(*sums)
    return found


def _rows(db: Db, ask: Select[Any], users: Sequence[int]) -> list[tuple[int, int]]:
    """Return the rows of a query with `_SOME_USERS`, as pairs of numbers."""
    rows = db.connection().execute(ask, {"users": list(users)}) if users else ()
    return [(one, two) for one, two in rows]


def drop_tree(db: Db, user_id: int) -> list[str]:
    """Delete a user's nodes, blobs and uploads; return the places that must be emptied."""
    outside = select(Blob.place).where(Blob.owner_id == user_id, Blob.place.is_not(None))
    places = [place for place in db.scalars(outside) if place]
    uploads.doom(db, places)
    places += uploads.drop_all(db, user_id) + requests.drop_all(db, user_id)
    for owned in (Blob, Node):
        db.execute(delete(owned).where(owned.owner_id == user_id))
    db.execute(delete(Tree).where(Tree.user_id == user_id))
    return places


def drop_used(db: Db, before_ms: int) -> None:
    """Delete the records of steps used before a time; `last_step` still refuses those steps."""
    db.execute(delete(UsedOtp).where(UsedOtp.used_ms < before_ms))


def drop_bundles(db: Db, user_id: int) -> None:
    """Delete a user's public keys."""
    db.execute(delete(Bundle).where(Bundle.user_id == user_id))

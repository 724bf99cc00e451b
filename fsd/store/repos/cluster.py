"""Queries on the nodes of the cluster, and on what belongs to a node that has ended."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session as Db

from fsd.store.cluster_models import ClusterNode, ServerFact, ServerKey
from fsd.store.quota_models import Reservation
from fsd.store.repos.many import helpings
from fsd.store.upload_models import Upload

DEAD_S = 60.0
"""After this time without a heartbeat, a node has ended or is frozen."""
CHANNEL = "fs_changes"
"""The channel of PostgreSQL on which nodes notify each other."""
NEW_KEYS = "keys"
"""The notice that a key of the server has changed."""
_AS_IS = {"synchronize_session": False}


def clock_ms(db: Db, own_ms: int) -> int:
    """Return the time that all nodes share: PostgreSQL's clock, or this machine's on SQLite."""
    if db.get_bind().dialect.name != "postgresql":
        return own_ms
    return int(db.scalar(select(func.extract("epoch", func.clock_timestamp()) * 1000)) or 0)


def all_nodes(db: Db) -> list[ClusterNode]:
    """Return all nodes, by host name and start, also those that have not been seen for long."""
    order = (ClusterNode.name, ClusterNode.started_ms, ClusterNode.id)
    return list(db.scalars(select(ClusterNode).order_by(*order)))


def alive(db: Db, own_ms: int) -> list[ClusterNode]:
    """Return the nodes with a recent heartbeat; `own_ms` is this machine's time."""
    since_ms = clock_ms(db, own_ms) - int(DEAD_S * 1000)
    return list(db.scalars(select(ClusterNode).where(ClusterNode.seen_ms >= since_ms)))


def put(db: Db, node: ClusterNode) -> None:
    """Store the entry of a node, in place of an earlier one with its id."""
    db.merge(node)


def set_keys_version(db: Db, node: bytes, version: int) -> None:
    """Note the version of the keys that a node uses."""
    confirmed = update(ClusterNode).where(ClusterNode.id == node).values(keys_version=version)
    db.execute(confirmed, execution_options=_AS_IS)


def remove(db: Db, ids: Iterable[bytes]) -> None:
    """Delete the entries of nodes that have ended."""
    for some in helpings(list(ids)):
        db.execute(delete(ClusterNode).where(ClusterNode.id.in_(some)), execution_options=_AS_IS)


def remove_before(db: Db, seen_ms: int) -> None:
    """Delete the entries of nodes that were last seen before this time."""
    gone = delete(ClusterNode).where(ClusterNode.seen_ms < seen_ms)
    db.execute(gone, execution_options=_AS_IS)


def holders(db: Db) -> set[str]:
    """Return the ids, as text, of the nodes that have reservations or receive uploads."""
    leased = select(Upload.node).where(Upload.lease_until_ms > 0).distinct()
    reserved = select(Reservation.server).distinct()
    return {name for ask in (leased, reserved) for name in db.scalars(ask)}


def free(db: Db, names: Iterable[str]) -> None:
    """End the reservations, and the leases of uploads, of nodes that have ended.

    An upload whose lease has ended counts as interrupted; its owner can resume it.
    """
    for some in helpings(list(names)):
        gone = delete(Reservation).where(Reservation.server.in_(some))
        db.execute(gone, execution_options=_AS_IS)
        ended = update(Upload).where(Upload.node.in_(some)).values(lease_until_ms=0)
        db.execute(ended, execution_options=_AS_IS)


# --- what all nodes share


def keys(db: Db) -> dict[str, bytes]:
    """Return the sealed keys of the server by name."""
    return {key.name: key.sealed for key in db.scalars(select(ServerKey))}


def keys_version(db: Db) -> int:
    """Return the version of the newest key; 0 if there is none."""
    return db.scalar(select(func.max(ServerKey.version))) or 0


def put_key(db: Db, name: str, sealed: bytes) -> None:
    """Store a key of the server as the newest one; on PostgreSQL, nodes are notified of it."""
    db.merge(ServerKey(name=name, sealed=sealed, version=keys_version(db) + 1))
    db.flush()
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_notify(CHANNEL, NEW_KEYS)))


def remove_key(db: Db, name: str) -> None:
    """Delete a key."""
    db.execute(delete(ServerKey).where(ServerKey.name == name), execution_options=_AS_IS)


def hold_nodes(db: Db) -> None:
    """Let no node register before the end of this transaction."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text("LOCK TABLE cluster_nodes IN SHARE ROW EXCLUSIVE MODE"))


def hold_keys(db: Db) -> None:
    """Lock the keys until the end of this transaction."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text("LOCK TABLE server_keys IN SHARE ROW EXCLUSIVE MODE"))


def fact(db: Db, name: str) -> str | None:
    """Return a fact; None if it is not known."""
    return db.scalar(select(ServerFact.value).where(ServerFact.name == name))


def put_fact(db: Db, name: str, value: str) -> None:
    """Store a fact."""
    db.merge(ServerFact(name=name, value=value))


_LAST_BACKUP = "last_backup_ms"


def note_backup(db: Db, at_ms: int) -> None:
    """Store the time of a backup, which any node may have made."""
    put_fact(db, _LAST_BACKUP, str(at_ms))


def last_backup_ms(db: Db) -> int | None:
    """Return the time of the last backup; None if none is noted."""
    value = fact(db, _LAST_BACKUP)
    return None if value is None else int(value)

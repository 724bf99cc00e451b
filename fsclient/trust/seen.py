"""The newest version of every folder, file and member list this client has seen, against rollback.

The server may refuse service, but it must not show an older state than it showed before, nor
another one of the same version. Kept in SQLite, so that several commands at once agree.

A command may read an answer that is older than what another command of the same person has
seen meanwhile; that is no attack. So each question first takes a `mark`, and an answer is held
only against what was known at that mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fsclient.trust.sqlite import LocalDatabase
from fsproto import crypto
from fsproto.errors import RollbackError
from fsproto.types import NO_HASH, DropId, Hash, NodeId
from fsproto.values import Value

STATE, MANIFEST, LIST, AGE, KEYS, DROP = 1, 2, 3, 4, 5, 6
_Known = dict[tuple[NodeId, int], tuple[int, bytes, int]]
_AT_ONCE = 500
"""Nodes in one query."""
_KNOWN = "SELECT node, what, version, hash, at FROM seen WHERE node IN"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (
    node BLOB NOT NULL, what INTEGER NOT NULL, version INTEGER NOT NULL, hash BLOB NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (node, what)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_at ON seen (at);
CREATE INDEX IF NOT EXISTS seen_what ON seen (what, at);
CREATE TABLE IF NOT EXISTS shared (node BLOB PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID;
"""


class Sighting(Value, frozen=True):
    """One version of a folder's state, of a node's manifest, or of its member list."""

    node: NodeId
    what: int
    """`STATE`, `MANIFEST`, `LIST`, `AGE` (that a list has come to a generation; see `age`),
    `KEYS` (that somebody's keys came to an end; see `key_end`), or `DROP` (`accepted`)."""
    version: int
    hash: Hash


Since = tuple[NodeId, int]
"""Which sighting, by node and what, tells since when something is known."""


def age(node: NodeId, generation: int) -> Sighting:
    """Return the sighting of a node's member list having come to a generation of its key.

    Each generation is remembered apart, since when it is known: who lost a right with one of them
    does not get it back with the next.
    """
    marker = crypto.sha256(node, generation.to_bytes(4, "big"))
    return Sighting(NodeId(marker[: len(node)]), AGE, 1, NO_HASH)


def key_end(index: int) -> Sighting:
    """Return the sighting of an entry of the key log that put an end to somebody's keys."""
    return Sighting(NodeId(index.to_bytes(16, "big")), KEYS, 1, NO_HASH)


def accepted(drop: DropId) -> Sighting:
    """Return the sighting of a drop that was accepted: whoever shows it again is too late."""
    return Sighting(NodeId(drop), DROP, 1, NO_HASH)


class SeenVersions(LocalDatabase):
    """What one profile has seen."""

    schema = _SCHEMA
    holds = "which remembers what the server has shown before"
    without_it = (
        "Deleting it gives up the protection against being shown old states until each folder was "
        "seen again."
    )

    def mark(self) -> int:
        """Return a point in what is known; taken before a question is sent."""
        with self._translated():
            found = self._db.execute("SELECT max(at) FROM seen").fetchone()[0]
        return found or 0

    def check(
        self, seen: Iterable[Sighting], mark: int, frozen: Mapping[NodeId, Since] | None = None
    ) -> None:
        """Hold an answer against what was known at `mark`, then remember it.

        `frozen` are folders whose state was signed by somebody who may write there no more, or
        with a key that holds no more, each with the sighting since which that is known: what was
        seen of them since must not change. Raises `RollbackError` for an older version, another
        one of the same version, or such a change.
        """
        seen = list(seen)
        with self._translated(), self._transaction():
            known = self._known(seen)
            news = [one for one in seen if _is_news(one, known, mark)]
            if frozen:
                self._check_frozen(seen, known, frozen)
            self._note_looked_at(seen, known)
            self._remember(news)

    def _check_frozen(
        self, seen: list[Sighting], known: _Known, frozen: Mapping[NodeId, Since]
    ) -> None:
        known_since = self._known([Sighting(*since, 0, NO_HASH) for since in frozen.values()])
        for one in seen:
            before, said = known.get((one.node, STATE)), frozen.get(one.node)
            if one.what != STATE or said is None or before is None:
                continue
            told = known_since.get(said)
            if told is None:
                continue
            if before[0] < one.version and before[2] > told[2]:
                raise _changed_since(said[1])

    def _note_looked_at(self, seen: list[Sighting], known: _Known) -> None:
        """Note that folders were looked at since somebody lost a right, whoever signed them."""
        newest = max(
            self._db.execute("SELECT coalesce(max(at), 0) FROM seen WHERE what = ?", (what,))
            .fetchone()[0]
            for what in (AGE, KEYS)
        )  # fmt: skip
        if not newest:
            return
        looked_at = [
            (one.node, STATE)
            for one in seen
            if one.what == STATE
            and (before := known.get((one.node, STATE))) is not None
            and before[0] == one.version
            and before[2] <= newest
        ]
        self._db.executemany(
            "UPDATE seen SET at = (SELECT max(at) + 1 FROM seen) WHERE node = ? AND what = ?",
            looked_at,
        )

    def had(self, nodes: Iterable[NodeId], what: int, mark: int) -> set[NodeId]:
        """Return those of the nodes of which something was known at `mark`."""
        with self._translated():
            known = self._known([Sighting(node, what, 0, NO_HASH) for node in nodes])
        return {node for (node, kind), (_, _, at) in known.items() if kind == what and at <= mark}

    def shared(self) -> dict[NodeId, tuple[str, ...]]:
        """Return what of one's own was shared when last seen, and where it was."""
        with self._translated():
            rows = self._db.execute("SELECT node, path FROM shared").fetchall()
        return {node: tuple(path.split("/")) for node, path in rows}

    def note_shared(
        self, there: Mapping[NodeId, tuple[str, ...]], gone: Iterable[NodeId] = ()
    ) -> None:
        """Note where what is shared lies, and what of it is no longer there."""
        with self._translated(), self._transaction():
            self._db.executemany("DELETE FROM shared WHERE node = ?", [(node,) for node in gone])
            self._db.executemany(
                "INSERT OR REPLACE INTO shared VALUES (?, ?)",
                [(node, "/".join(path)) for node, path in there.items()],
            )

    def remember(self, seen: Iterable[Sighting]) -> None:
        """Remember what this client itself has just made the newest."""
        with self._translated(), self._transaction():
            self._remember(seen)

    def everything(self) -> list[Sighting]:
        """Return all that is remembered, for another machine of the same person."""
        with self._translated():
            rows = self._db.execute("SELECT node, what, version, hash FROM seen").fetchall()
        return [Sighting(node, what, version, seen_hash) for node, what, version, seen_hash in rows]

    def _known(self, seen: list[Sighting]) -> _Known:
        """Return version, hash and time of what was seen before of the same nodes."""
        known: _Known = {}
        for start in range(0, len(seen), _AT_ONCE):
            nodes = [one.node for one in seen[start : start + _AT_ONCE]]
            marks = ", ".join("?" * len(nodes))
            rows = self._db.execute(f"{_KNOWN} ({marks})", nodes)
            known |= {
                (node, what): (version, seen_hash, at)
                for node, what, version, seen_hash, at in rows
            }
        return known

    def _remember(self, seen: Iterable[Sighting]) -> None:
        at = self._db.execute("SELECT coalesce(max(at), 0) + 1 FROM seen").fetchone()[0]
        self._db.executemany(
            "INSERT INTO seen VALUES (?, ?, ?, ?, ?) ON CONFLICT (node, what) DO UPDATE SET "
            "version = excluded.version, hash = excluded.hash, at = excluded.at "
            "WHERE excluded.version > seen.version",
            [(s.node, s.what, s.version, s.hash, at) for s in seen],
        )


def _is_news(sighting: Sighting, known: _Known, mark: int) -> bool:
    row = known.get((sighting.node, sighting.what))
    if row is None:
        return True
    version, seen_hash, at = row
    if sighting.version == version and sighting.hash != seen_hash:
        raise RollbackError(
            "THE SERVER SHOWED TWO DIFFERENT HISTORIES of the same folder or file.",
            hint="Stop and talk to your administrator: this does not happen by accident.",
        )
    if sighting.version < version and at <= mark:
        raise shown_older(sighting.version, version)
    return sighting.version > version


def shown_older(shown: int, seen: int) -> RollbackError:
    """Return the error for a version that is older than one that was seen."""
    return RollbackError(
        f"THE SERVER SHOWED AN OLDER STATE of a folder or file: version "
        f"{shown}, although this client has seen version {seen}.",
        hint="A backup may have been restored, or somebody undoes changes on purpose; "
        "talk to your administrator.",
    )


def _changed_since(what: int) -> RollbackError:
    if what == KEYS:
        return RollbackError(
            "KEYS THAT WERE REPLACED have changed a folder, and the server lets them.",
            hint="Stop and talk to the person who had those keys: they may have been stolen.",
        )
    return RollbackError(
        "SOMEBODY WHO WAS REMOVED from a shared folder has changed it, and the server lets them.",
        hint="Stop and talk to the owner; their 'fsclient unshare --now' ends it.",
    )

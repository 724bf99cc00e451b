"""The versions of every folder, file and member list that this client has seen, against rollback.

The server may refuse service, but it must not show an older version than it showed before, nor a
version that does not descend from what it showed before. All versions that are remembered of one
value are on one line: each is an ancestor of the next (`fsproto.proofs.lineage`). Stored in SQLite,
so that concurrent commands share it.

An answer may be older than what another command of the same person has seen in the meantime; this
is no attack. So each question first takes a `mark`. The answer must not be older than what was
known at that mark, and it must be on the one line: an ancestor of everything newer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from fsclient.trust.sqlite import LocalDatabase
from fsproto import crypto
from fsproto.errors import ConflictError, RemoteProtocolError, RollbackError
from fsproto.limits import MAX_GENERATION, MAX_LINEAGE_GAP
from fsproto.messages.history import Lineal
from fsproto.proofs.lineage import LineagePoint
from fsproto.types import NO_HASH, NO_NODE, DropId, Hash, NodeId
from fsproto.values import Value

STATE, MANIFEST, LIST = int(Lineal.STATE), int(Lineal.MANIFEST), int(Lineal.LIST)
AGE, KEYS, DROP = 4, 5, 6
_FORMAT = 2
_KEPT = 32
"""Versions that are kept of one value, for commands that started before the newest was seen."""
_AT_ONCE = 500
"""Nodes in one query."""
_ROWS = "SELECT node, what, version, lineage, hash, at, looked_at FROM seen WHERE node IN"
_NEWEST = (
    "SELECT version, lineage, hash, parent, author, time_ms FROM seen "
    "WHERE node = ? AND what = ? ORDER BY version DESC LIMIT 1"
)
_BELOW = (
    "SELECT node, version, lineage, hash, author, time_ms FROM (SELECT node, max(version) AS "
    "version, lineage, hash, author, time_ms, parent FROM seen WHERE what = ? GROUP BY node) "
    "WHERE parent = ?"
)
_SCHEMA = """
CREATE TABLE seen (
    node BLOB NOT NULL, what INTEGER NOT NULL, version INTEGER NOT NULL, lineage BLOB NOT NULL,
    hash BLOB NOT NULL, at INTEGER NOT NULL, looked_at INTEGER NOT NULL,
    parent BLOB NOT NULL, author TEXT NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (node, what, version)
) WITHOUT ROWID;
CREATE INDEX seen_ends ON seen (at) WHERE what IN (4, 5);
CREATE TABLE clock (at INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
CREATE TABLE shared (node BLOB PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID;
"""


class Sighting(Value, frozen=True):
    """One version of a folder's state, of a node's manifest, or of its member list."""

    node: NodeId
    what: int
    """`STATE`, `MANIFEST`, `LIST`, `AGE` (a list has reached a generation; see `age`), `KEYS` (a
    person's keys have ended; see `key_end`), or `DROP` (`accepted`)."""
    point: LineagePoint
    parent: NodeId = NO_NODE
    """The folder that the node is in, of a manifest."""
    author: str = ""
    time_ms: int = 0
    """When the author signed it, by the author's clock."""


Since = tuple[NodeId, int]
"""Node and kind of the sighting since which something is known."""


class Gap(Value, frozen=True):
    """Two versions of one value that are not adjacent; the earlier must lead to the later."""

    node: NodeId
    what: int
    earlier: LineagePoint
    later: LineagePoint


Prove = Callable[[Sequence[Gap]], Mapping[Gap, Sequence[Hash]]]
"""Asks the server for the hashes between the versions of gaps, the oldest first."""


class _Row(Value, frozen=True):
    point: LineagePoint
    at: int
    """When it was seen first, by the file's own clock; 0: earlier ones may have been forgotten."""
    looked_at: int
    """When it was last shown as the newest, as far as that was noted."""


_Known = dict[tuple[NodeId, int], list[_Row]]
"""The rows of a value, the oldest version first."""
_LATER = 1 << 62
"""A time after every mark."""
_ONCE = LineagePoint(1, NO_HASH, NO_HASH)
"""Stands for a fact that has no versions."""


def age(node: NodeId, generation: int) -> Sighting:
    """Return the sighting of a node's member list having reached a generation of its key.

    Each generation is remembered separately, with the time since which it is known: a person who
    lost a right with one of them does not get it back with the next.
    """
    marker = crypto.sha256(node, generation.to_bytes(4, "big"))
    return Sighting(NodeId(marker[: len(node)]), AGE, _ONCE)


def key_end(index: int) -> Sighting:
    """Return the sighting of an entry of the key log that ended a person's keys."""
    return Sighting(NodeId(index.to_bytes(16, "big")), KEYS, _ONCE)


def accepted(drop: DropId) -> Sighting:
    """Return the sighting of a drop that was accepted: it is not accepted again."""
    return Sighting(NodeId(drop), DROP, _ONCE)


class SeenVersions(LocalDatabase):
    """What one profile has seen."""

    schema = _SCHEMA
    format = _FORMAT
    holds = "which remembers what the server has shown before"
    without_it = (
        "Deleting it gives up the protection against being shown old states until each folder was "
        "seen again."
    )

    def mark(self) -> int:
        """Return a point in time, by the file's own clock; taken before a question is sent."""
        with self._translated():
            found: int = self._db.execute("SELECT at FROM clock").fetchone()[0]
        return found

    def check(
        self,
        seen: Iterable[Sighting],
        mark: int,
        prove: Prove,
        frozen: Mapping[NodeId, Since] | None = None,
    ) -> None:
        """Compare an answer with what is known, then remember it.

        `frozen` are folders whose state was signed by a person who has lost write access, or with
        a key that has ended, each with the sighting since which that is known: what was seen of
        them since must not change. Raises `RollbackError` for an older version than was known at
        `mark`, a version that is not on the line of those that were seen, or such a change.
        """
        seen = list(seen)
        proofs: dict[Gap, Sequence[Hash]] = {}
        while True:
            with self._translated(), self._transaction():
                known = self._known(seen)
                missing = [gap for gap in _gaps(seen, known, mark) if gap not in proofs]
                if not missing:
                    for gap, hashes in proofs.items():
                        _check_proof(gap, hashes)
                    if frozen:
                        self._check_frozen(seen, known, frozen)
                    self._note_looked_at(seen, known)
                    self._remember(seen, known)
                    return
            found = prove(missing)
            proofs |= {gap: found[gap] for gap in missing}

    def _check_frozen(
        self, seen: list[Sighting], known: _Known, frozen: Mapping[NodeId, Since]
    ) -> None:
        since_when = self._rows(frozen.values())
        for one in seen:
            said = frozen.get(one.node)
            if one.what != STATE or said is None:
                continue
            rows, since = known.get((one.node, STATE)), since_when.get(said)
            if not rows or not since:
                continue
            if rows[-1].point.version < one.point.version and rows[-1].looked_at > since[-1].at:
                raise _changed_since(said[1])

    def _note_looked_at(self, seen: list[Sighting], known: _Known) -> None:
        """Note that folders were looked at since a person lost a right, whoever signed them."""
        newest = self._db.execute("SELECT max(at) FROM seen WHERE what IN (4, 5)").fetchone()[0]
        if not newest:
            return
        looked_at = [
            one
            for one in seen
            if one.what == STATE
            and (rows := known.get((one.node, STATE)))
            and rows[-1].point.version == one.point.version
            and rows[-1].looked_at <= newest
        ]
        if looked_at:
            at = self._tick()
            self._db.executemany(
                "UPDATE seen SET looked_at = ? WHERE node = ? AND what = ? AND version = ?",
                [(at, one.node, STATE, one.point.version) for one in looked_at],
            )

    def had(self, nodes: Iterable[NodeId], what: int, mark: int) -> set[NodeId]:
        """Return those of the nodes of which something was known at `mark`."""
        with self._translated():
            known = self._rows((node, what) for node in nodes)
        return {node for (node, _), rows in known.items() if any(row.at <= mark for row in rows)}

    def has(self, shown: Sighting) -> bool:
        """Return whether exactly this version was seen before."""
        point = shown.point
        with self._translated():
            row = self._db.execute(
                "SELECT hash FROM seen WHERE node = ? AND what = ? AND version = ?",
                (shown.node, shown.what, point.version),
            ).fetchone()
        return row is not None and row[0] == point.hash

    def below(self, folder: NodeId) -> list[Sighting]:
        """Return the newest manifests that were seen of what is or was in a folder."""
        with self._translated():
            rows = self._db.execute(_BELOW, (MANIFEST, folder)).fetchall()
        return [
            Sighting(row[0], MANIFEST, LineagePoint(*row[1:4]), folder, *row[4:]) for row in rows
        ]

    def seen(self, node: NodeId, what: int) -> Sighting | None:
        """Return the newest version that was seen of one value."""
        with self._translated():
            row = self._db.execute(_NEWEST, (node, what)).fetchone()
        return row and Sighting(node, what, LineagePoint(*row[:3]), *row[3:])

    def conflicting(self, shown: Sighting, prove: Prove) -> Sighting | None:
        """Return the newest version seen of a value if `shown` does not follow from it."""
        try:
            known = self._known([shown])
            gaps = _gaps([shown], known, self.mark())
            for gap, hashes in prove(gaps).items() if gaps else ():
                _check_proof(gap, hashes)
        except (RollbackError, RemoteProtocolError):
            return self.seen(shown.node, shown.what)
        return None

    def accept(self, shown: Sequence[Sighting], gone: Sequence[Sighting] = ()) -> None:
        """Replace what is remembered of these values: the person accepts another branch.

        What was seen of the values in `gone` is forgotten.
        """
        keys = [(one.node, one.what) for one in (*shown, *gone)]
        with self._translated(), self._transaction():
            self._db.executemany("DELETE FROM seen WHERE node = ? AND what = ?", keys)
            for one in shown:
                if one.what == LIST:
                    self._forget_ages(one.node)
            self._remember(shown, {})

    def _forget_ages(self, node: NodeId) -> None:
        """Forget which generations a member list had reached; the next look tells them again."""
        ages = [(age(node, each).node, AGE) for each in range(2, MAX_GENERATION + 1)]
        self._db.executemany("DELETE FROM seen WHERE node = ? AND what = ?", ages)

    def shared(self) -> dict[NodeId, tuple[str, ...]]:
        """Return the nodes that the user shared when last seen, and where each was."""
        with self._translated():
            rows = self._db.execute("SELECT node, path FROM shared").fetchall()
        return {node: tuple(path.split("/")) for node, path in rows}

    def note_shared(
        self, there: Mapping[NodeId, tuple[str, ...]], gone: Iterable[NodeId] = ()
    ) -> None:
        """Note where shared nodes are, and which of them are no longer there."""
        with self._translated(), self._transaction():
            self._db.executemany("DELETE FROM shared WHERE node = ?", [(node,) for node in gone])
            self._db.executemany(
                "INSERT OR REPLACE INTO shared VALUES (?, ?)",
                [(node, "/".join(path)) for node, path in there.items()],
            )

    def remember(self, facts: Iterable[Sighting]) -> None:
        """Remember facts without versions, or what another machine of the user has seen."""
        facts = list(facts)
        with self._translated(), self._transaction():
            self._remember(facts, self._known(facts))

    def everything(self) -> list[Sighting]:
        """Return the newest version of everything, for another machine of the user."""
        with self._translated():
            rows = self._db.execute(
                "SELECT node, what, max(version), lineage, hash FROM seen GROUP BY node, what"
            ).fetchall()
        return [Sighting(node, what, LineagePoint(*point)) for node, what, *point in rows]

    def _known(self, seen: Iterable[Sighting]) -> _Known:
        return self._rows((one.node, one.what) for one in seen)

    def _rows(self, wanted: Iterable[tuple[NodeId, int]]) -> _Known:
        """Return what is known of values, each with its oldest version first."""
        wanted = set(wanted)
        nodes = list({node for node, _ in wanted})
        known: _Known = {}
        for start in range(0, len(nodes), _AT_ONCE):
            some = nodes[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._db.execute(f"{_ROWS} ({marks}) ORDER BY node, what, version", some)
            for node, what, version, lineage, hash_of, at, looked_at in rows:
                if (node, what) in wanted:
                    row = _Row(LineagePoint(version, lineage, hash_of), at, looked_at)
                    known.setdefault((node, what), []).append(row)
        return known

    def _tick(self) -> int:
        row = self._db.execute("UPDATE clock SET at = at + 1 RETURNING at").fetchone()
        return int(row[0])

    def _remember(self, seen: Iterable[Sighting], known: _Known) -> None:
        news = [
            one
            for one in dict.fromkeys(seen)
            if all(
                row.point.version != one.point.version
                for row in known.get((one.node, one.what), ())
            )
        ]
        if not news:
            return
        at = self._tick()
        self._db.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    s.node,
                    s.what,
                    p.version,
                    p.lineage,
                    p.hash,
                    at,
                    at,
                    s.parent,
                    s.author,
                    s.time_ms,
                )
                for s, p in ((one, one.point) for one in news)
            ],
        )
        for one in news:
            if len(known.get((one.node, one.what), ())) >= 2 * _KEPT:
                self._forget(one.node, one.what)

    def _forget(self, node: NodeId, what: int) -> None:
        """Forget the oldest versions of a value."""
        oldest = self._db.execute(
            "SELECT version FROM seen WHERE node = ? AND what = ? "
            "ORDER BY version DESC LIMIT 1 OFFSET ?",
            (node, what, _KEPT - 1),
        ).fetchone()[0]
        self._db.execute(
            "DELETE FROM seen WHERE node = ? AND what = ? AND version < ?", (node, what, oldest)
        )
        self._db.execute(
            "UPDATE seen SET at = 0 WHERE node = ? AND what = ? AND version = ?",
            (node, what, oldest),
        )


def _about(seen: Sighting) -> tuple[NodeId, str, int]:
    return seen.parent, seen.author, seen.time_ms


def _gaps(seen: Iterable[Sighting], known: _Known, mark: int) -> list[Gap]:
    """Return what the server must prove; `RollbackError` for what no proof could mend."""
    gaps = []
    lines: dict[tuple[NodeId, int], list[_Row]] = {}
    for one in dict.fromkeys(seen):
        key = one.node, one.what
        line = lines.setdefault(key, list(known.get(key, ())))
        versions = [row.point.version for row in line]
        at = bisect_left(versions, one.point.version)
        _check_age(one.point.version, line[at:], mark)
        if at < len(line) and versions[at] == one.point.version:
            if line[at].point != one.point:
                raise _forked(one.point.version, one.point.version)
            continue
        around = [(line[at - 1].point, one.point)] if at else []
        around += [(one.point, line[at].point)] if at < len(line) else []
        for earlier, later in around:
            gap = Gap(one.node, one.what, earlier, later)
            if later.version == earlier.version + 1:
                _check_proof(gap, ())
            else:
                gaps.append(gap)
        line.insert(at, _Row(one.point, _LATER, _LATER))
    return gaps


def _check_age(version: int, rows: list[_Row], mark: int) -> None:
    """Refuse a version that is older than the newest known at `mark`."""
    newer = [row for row in rows if row.point.version > version]
    known = [row.point.version for row in newer if 0 < row.at <= mark]
    if known:
        raise shown_older(version, max(known))
    if newer and newer[0].at == 0:
        raise ConflictError(
            "A folder or file changed very often while this command ran.",
            hint="Give the same command again.",
        )


def _check_proof(gap: Gap, between: Sequence[Hash]) -> None:
    if not gap.earlier.leads_to(gap.later, between):
        raise _forked(gap.later.version, gap.earlier.version)


def check_gap_size(gap: Gap) -> None:
    """Refuse a proof of more versions than a client reads: `RollbackError`."""
    if gap.later.version - gap.earlier.version > MAX_LINEAGE_GAP:
        raise RollbackError(
            f"The server says that a folder or file has changed more than {MAX_LINEAGE_GAP:,} "
            "times since this client saw it.",
            hint="Talk to the person who changed it; 'fsclient doctor' shows both versions.",
        )


def _forked(shown: int, seen: int) -> RollbackError:
    return RollbackError(
        "THE SERVER SHOWED TWO DIFFERENT HISTORIES of the same folder or file: "
        f"version {shown} does not follow from version {seen}, which this client has seen.",
        hint="Stop and talk to your administrator; 'fsclient doctor' shows both versions.",
    )


def shown_older(shown: int, seen: int) -> RollbackError:
    """Return the error for a version that is older than the newest seen."""
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

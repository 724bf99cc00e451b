"""The versions of every folder, file and member list that this client has seen, against rollback.

The server may refuse service. But it must not show an older version than before, or a version that
does not descend from the earlier ones. All remembered versions of one value are on one line: each
is an ancestor of the next (`fsproto.proofs.lineage`). They are stored in SQLite, so that concurrent
commands share them.

While a command waits for an answer, another command of the same person may see a newer version;
this is no attack. So each request first takes a `mark`. The answer must not be older than the
versions known at that mark, and it must be on the line: an ancestor of every newer version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from fsclient.trust.sightings import (
    AGE,
    LIST,
    MANIFEST,
    STATE,
    Gap,
    KnownLines,
    SeenRow,
    Sighting,
    Since,
    age,
    changed_since,
    check_proof,
    find_gaps,
)
from fsclient.trust.sqlite import LocalDatabase
from fsproto.errors import RemoteProtocolError, RollbackError
from fsproto.limits import MAX_GENERATION
from fsproto.proofs.lineage import LineagePoint
from fsproto.types import Hash, NodeId

_FORMAT = 3
_KEPT = 32
"""Kept versions of one value, for commands that started before the newest was seen."""
_AT_ONCE = 500
"""Nodes in one query."""
_ROWS = "SELECT node, what, version, lineage, hash, at, looked_at FROM seen WHERE node IN"
_NEWEST = (
    "SELECT version, lineage, hash, parent, author, time_ms, sealed_name FROM seen "
    "WHERE node = ? AND what = ? ORDER BY version DESC LIMIT 1"
)
_BELOW = (
    "SELECT node, version, lineage, hash, author, time_ms, sealed_name FROM (SELECT node, "
    "max(version) AS version, lineage, hash, author, time_ms, sealed_name, parent FROM seen "
    "WHERE what = ? GROUP BY node) WHERE parent = ?"
)
_SCHEMA = """
CREATE TABLE seen (
    node BLOB NOT NULL, what INTEGER NOT NULL, version INTEGER NOT NULL, lineage BLOB NOT NULL,
    hash BLOB NOT NULL, at INTEGER NOT NULL, looked_at INTEGER NOT NULL,
    parent BLOB NOT NULL, author TEXT NOT NULL, time_ms INTEGER NOT NULL,
    sealed_name BLOB NOT NULL,
    PRIMARY KEY (node, what, version)
) WITHOUT ROWID;
CREATE INDEX seen_ends ON seen (at) WHERE what IN (4, 5);
CREATE TABLE clock (at INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
CREATE TABLE shared (node BLOB PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID;
"""


Prove = Callable[[Sequence[Gap]], Mapping[Gap, Hash]]
"""Asks the server for the hashes between the versions of gaps; see `Questions.lineages`."""


class SeenVersions(LocalDatabase):
    """The versions that one profile has seen."""

    schema = _SCHEMA
    format = _FORMAT
    holds = "which remembers what the server has shown before"
    without_it = (
        "Deleting it gives up the protection against being shown old states until each folder was "
        "seen again."
    )

    def mark(self) -> int:
        """Return a point in the file's order of events; take it before a request is sent."""
        with self._translated():
            return self._clock()

    def _clock(self) -> int:
        found: int = self._db.execute("SELECT at FROM clock").fetchone()[0]
        return found

    def check(
        self,
        seen: Iterable[Sighting],
        mark: int,
        prove: Prove,
        frozen: Mapping[NodeId, Since] | None = None,
    ) -> int:
        """Compare an answer with what is known, then remember it; return the mark of this moment.

        `frozen` are folders whose state has an author without write access now, or an ended key.
        Each has the sighting that ended the access or the key: a state that was seen after this
        sighting must not change. Raises `RollbackError` for a version that is older than the
        versions known at `mark`, that is not on their line, or that is such a change.
        """
        seen = list(seen)
        proofs: dict[Gap, Hash] = {}
        while True:
            with self._translated(), self._transaction():
                known = self._known(seen)
                missing = [gap for gap in find_gaps(seen, known, mark) if gap not in proofs]
                if not missing:
                    for gap, reached in proofs.items():
                        check_proof(gap, reached)
                    if frozen:
                        self._check_frozen(seen, known, frozen)
                    self._note_looked_at(seen, known)
                    self._remember(seen, known)
                    return self._clock()
            found = prove(missing)
            proofs |= {gap: found[gap] for gap in missing}

    def _check_frozen(
        self, seen: list[Sighting], known: KnownLines, frozen: Mapping[NodeId, Since]
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
                raise changed_since(said[1])

    def _note_looked_at(self, seen: list[Sighting], known: KnownLines) -> None:
        """Record that folders were looked at after a person lost a right, for every author."""
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
        """Return the nodes with a version known at `mark`."""
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
        """Return the newest seen manifests of nodes that are or were in a folder."""
        with self._translated():
            rows = self._db.execute(_BELOW, (MANIFEST, folder)).fetchall()
        return [
            Sighting(row[0], MANIFEST, LineagePoint(*row[1:4]), folder, *row[4:]) for row in rows
        ]

    def seen(self, node: NodeId, what: int) -> Sighting | None:
        """Return the newest seen version of one value."""
        with self._translated():
            row = self._db.execute(_NEWEST, (node, what)).fetchone()
        return row and Sighting(node, what, LineagePoint(*row[:3]), *row[3:])

    def newest(self, nodes: Iterable[NodeId], what: int) -> dict[NodeId, LineagePoint]:
        """Return the newest seen version of one value of each node that was seen."""
        with self._translated():
            known = self._rows((node, what) for node in nodes)
        return {node: rows[-1].point for (node, _), rows in known.items()}

    def conflicting(
        self, shown: Sequence[Sighting], mark: int, prove: Prove
    ) -> Iterator[tuple[Sighting, Sighting]]:
        """Yield each value in `shown` that does not follow from the seen ones, and the newest seen.

        `mark` is from before the server was asked for them.
        """
        for start in range(0, len(shown), _AT_ONCE):
            some = shown[start : start + _AT_ONCE]
            with self._translated():
                known = self._known(some)
            gaps = dict[Sighting, list[Gap]]()
            for one in some:
                with suppress(RollbackError):
                    gaps[one] = find_gaps([one], known, mark)
            asked = [gap for each in gaps.values() for gap in each]
            reached: Mapping[Gap, Hash] | None = None
            with suppress(RollbackError, RemoteProtocolError):
                reached = prove(asked) if asked else {}
            for one in some:
                seen = self.seen(one.node, one.what)
                if seen is not None and not (one in gaps and _lead(gaps[one], reached, prove)):
                    yield one, seen

    def accept(self, shown: Sequence[Sighting], gone: Sequence[Sighting] = ()) -> None:
        """Replace the remembered versions of these values: the person accepts another branch.

        What was seen of the values in `gone` is forgotten; a node whose member list is among them
        is not shared any longer.
        """
        keys = [(one.node, one.what) for one in (*shown, *gone)]
        with self._translated(), self._transaction():
            self._db.executemany("DELETE FROM seen WHERE node = ? AND what = ?", keys)
            for one in (*shown, *gone):
                if one.what == LIST:
                    self._forget_ages(one.node)
            unshared = [(one.node,) for one in gone if one.what == LIST]
            self._db.executemany("DELETE FROM shared WHERE node = ?", unshared)
            self._remember(shown, {})

    def _forget_ages(self, node: NodeId) -> None:
        """Forget the generations that a member list had reached; the next look restores them."""
        ages = [(age(node, each).node, AGE) for each in range(2, MAX_GENERATION + 1)]
        self._db.executemany("DELETE FROM seen WHERE node = ? AND what = ?", ages)

    def shared(self) -> dict[NodeId, tuple[str, ...]]:
        """Return the nodes that the user shared at the last look, and the place of each."""
        with self._translated():
            rows = self._db.execute("SELECT node, path FROM shared").fetchall()
        return {node: tuple(path.split("/")) for node, path in rows}

    def note_shared(
        self, there: Mapping[NodeId, tuple[str, ...]], gone: Iterable[NodeId] = ()
    ) -> None:
        """Record the places of shared nodes, and the nodes that are no longer shared."""
        with self._translated(), self._transaction():
            self._db.executemany("DELETE FROM shared WHERE node = ?", [(node,) for node in gone])
            self._db.executemany(
                "INSERT OR REPLACE INTO shared VALUES (?, ?)",
                [(node, "/".join(path)) for node, path in there.items()],
            )

    def remember(self, facts: Iterable[Sighting]) -> None:
        """Remember facts without versions, or versions that the user's other machine has seen."""
        facts = list(facts)
        with self._translated(), self._transaction():
            self._remember(facts, self._known(facts))

    def everything(self) -> list[Sighting]:
        """Return the newest version of each value, for another machine of the user."""
        with self._translated():
            rows = self._db.execute(
                "SELECT node, what, max(version), lineage, hash FROM seen GROUP BY node, what"
            ).fetchall()
        return [Sighting(node, what, LineagePoint(*point)) for node, what, *point in rows]

    def _known(self, seen: Iterable[Sighting]) -> KnownLines:
        return self._rows((one.node, one.what) for one in seen)

    def _rows(self, wanted: Iterable[tuple[NodeId, int]]) -> KnownLines:
        """Return the known versions of values, the oldest of each first."""
        wanted = set(wanted)
        nodes = list({node for node, _ in wanted})
        known: KnownLines = {}
        for start in range(0, len(nodes), _AT_ONCE):
            some = nodes[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._db.execute(f"{_ROWS} ({marks}) ORDER BY node, what, version", some)
            for node, what, version, lineage, hash_of, at, looked_at in rows:
                if (node, what) in wanted:
                    row = SeenRow(LineagePoint(version, lineage, hash_of), at, looked_at)
                    known.setdefault((node, what), []).append(row)
        return known

    def _tick(self) -> int:
        row = self._db.execute("UPDATE clock SET at = at + 1 RETURNING at").fetchone()
        return int(row[0])

    def _remember(self, seen: Iterable[Sighting], known: KnownLines) -> None:
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
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    s.sealed_name,
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


def _lead(gaps: list[Gap], reached: Mapping[Gap, Hash] | None, prove: Prove) -> bool:
    """Return whether the earlier end of each gap leads to the later one.

    `reached` are the lineages that were proved together with others; None if this failed.
    """
    try:
        found = reached if reached is not None or not gaps else prove(gaps)
        for gap in gaps:
            check_proof(gap, (found or {})[gap])
    except (RollbackError, RemoteProtocolError):
        return False
    return True

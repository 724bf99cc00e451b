"""Removal of large folders: in many transactions, each of which marks few nodes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import event, select, text, update

from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy
from fsd.services.files import commits
from fsd.services.files.commits import FileService
from fsd.store import schema
from fsd.store.models import Node
from fsd.store.removal_models import PendingRemoval
from fsd.store.repos import quotas, versions
from fsproto.messages.files import Removal
from fsproto.messages.history import Forgotten
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.manifest import NodeKind, sign_manifest
from tests.support.fixed_keys import stretch
from tests.support.services import Clock, Services
from tests.support.shared_folder import SharedFolder, make_folder
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

FILES = {f"{number}": None for number in range(23)}
SHAPE: dict[str, Any] = {"a": FILES, "b": {"c": FILES, "empty": {}}, **FILES}
NODES = 1 + 4 + 3 * 23


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(versions, "PIECE", 5)


class Tree:
    """A user, and a folder of theirs with many nodes."""

    def __init__(self, office: Services, clock: Clock, keep_days: float = 30) -> None:
        self.office, self.clock = office, clock
        self.keep = KeepPolicy(keep_removed_days=keep_days)
        person = office.add("alice")
        person.enrol(office, clock())
        files = FileService(office.database, office.blobs, now_ms=clock, keep=self.keep)
        self.alice = Writer(office, person, files)
        self.alice.write("other", b"stays")
        self.folder: SharedFolder = make_folder(office, person)
        with office.database.write() as db:
            self._fill(db, SHAPE, self.folder.node)
            db.flush()
            quotas.hold(db, person.who.user_id)
            quotas.start_over(db, person.who.user_id)

    def _fill(self, db: Any, shape: dict[str, Any], above: bytes) -> None:
        for name, inside in shape.items():
            node = Node(
                id=stretch(f"{above!r} {name}", 16),
                owner_id=self.alice.person.who.user_id,
                parent_id=above,
                token=stretch(name, 32),
                kind=int(NodeKind.FILE if inside is None else NodeKind.FOLDER),
                version=1,
                manifest_hash=bytes(32),
                next_lineage=b"",
            )
            db.add(node)
            db.flush()
            self._fill(db, inside or {}, node.id)

    def remove(self) -> None:
        token = self.folder.manifest.body.token
        removal = Removal(self.alice.person.root.node, token)
        self.alice._send([], [removal], [], remove=token)

    def restore(self) -> None:
        before, signing = self.folder.manifest, self.alice.person.identity.signing
        body = replace(before.body, version=2, lineage=before.point.next_lineage)
        signed = sign_manifest(signing, body)
        entry = FolderEntry(body.token, body.node, signed.hash)
        self.alice._send([signed], [], [], put=entry)

    def collect(self) -> None:
        Janitor(self.office.database, self.office.blobs, self.clock, self.keep).drop_expired()

    @property
    def files(self) -> int:
        """The number of files in the quota, which must be the exact one."""
        with self.office.database.read() as db:
            assert quotas.differing(db) == []
            row = quotas.get(db, self.alice.person.who.user_id)
            assert row is not None
            return row.used_files

    def count(self, *which: Any) -> int:
        with self.office.database.read() as db:
            return len(db.scalars(select(Node.id).where(*which)).all())

    @property
    def marked(self) -> int:
        return self.count(Node.removed_ms.is_not(None))

    @property
    def pending(self) -> int:
        with self.office.database.read() as db:
            return len(db.scalars(select(PendingRemoval.folder_id)).all())


@pytest.fixture
def tree(office: Services, clock: Clock) -> Tree:
    made = Tree(office, clock)
    assert made.files == 3 * 23 + 1
    return made


def cut_short(monkeypatch) -> None:
    """Let a removal end after its first piece, as if its server stopped."""
    monkeypatch.setattr(commits, "MARK_S", 0.0)


def test_no_transaction_of_a_removal_marks_many_nodes(tree: Tree) -> None:
    in_transactions = [0]

    def count(connection, cursor, statement, *_: object) -> None:
        if statement.startswith("UPDATE nodes"):
            in_transactions[-1] += cursor.rowcount

    engine = tree.office.database.engine
    event.listen(engine, "after_cursor_execute", count)
    event.listen(engine, "commit", lambda _: in_transactions.append(0))
    tree.remove()
    assert sum(in_transactions) >= NODES
    assert max(in_transactions) <= 5
    assert tree.marked == NODES
    assert (tree.files, tree.pending) == (1, 0)


def test_the_janitor_marks_what_a_removal_left(tree: Tree, monkeypatch) -> None:
    cut_short(monkeypatch)
    tree.remove()
    assert 1 < tree.marked < NODES
    assert tree.files == 1 + tree.count(
        Node.removed_ms.is_(None), Node.kind == int(NodeKind.FILE), Node.blob.is_(None)
    )
    tree.collect()
    assert tree.marked == NODES
    assert (tree.files, tree.pending) == (1, 0)


def test_a_folder_that_is_still_being_removed_is_restored_whole(tree: Tree, monkeypatch) -> None:
    cut_short(monkeypatch)
    tree.remove()
    tree.restore()
    assert tree.marked == 0
    assert (tree.files, tree.pending) == (3 * 23 + 1, 0)
    tree.collect()
    assert tree.files == 3 * 23 + 1


def test_a_folder_that_is_still_being_removed_is_deleted_for_good(tree: Tree, monkeypatch) -> None:
    cut_short(monkeypatch)
    tree.remove()
    who = tree.alice.person.who
    tree.office.histories.forget(who, [Forgotten(tree.folder.node, 1)])
    assert tree.files < 3 * 23
    tree.collect()
    assert (tree.files, tree.marked, tree.pending) == (1, 0, 0)


def test_what_is_moved_out_while_a_folder_is_being_removed_stays(tree: Tree, monkeypatch) -> None:
    cut_short(monkeypatch)
    tree.remove()
    with tree.office.database.write() as db:
        left = select(Node.id).where(
            Node.removed_ms.is_(None), Node.parent_id.is_not(None), Node.blob.is_(None)
        )
        moved = db.scalars(left.where(Node.kind == int(NodeKind.FILE))).first()
        there = {"parent_id": tree.alice.person.root.node, "token": stretch("moved", 32)}
        db.execute(update(Node).where(Node.id == moved).values(**there))
    tree.collect()
    assert tree.marked == NODES - 1
    assert tree.files == 2


def test_without_a_trash_a_large_folder_is_deleted_in_pieces(office, clock, monkeypatch) -> None:
    tree = Tree(office, clock, keep_days=0)
    cut_short(monkeypatch)
    tree.remove()
    assert tree.alice.removed() == []
    assert tree.files < 3 * 23
    tree.collect()
    assert tree.files == 1
    assert tree.count(Node.parent_id == tree.folder.node) == tree.pending == 0
    assert tree.count(Node.id == tree.folder.node) == 0


def test_removing_a_user_removes_what_is_still_to_be_marked(tree: Tree, monkeypatch) -> None:
    cut_short(monkeypatch)
    tree.remove()
    assert tree.pending
    tree.office.people.remove("alice")
    assert (tree.pending, tree.count()) == (0, 0)


def test_before_a_downgrade_everything_is_marked(tree: Tree, monkeypatch) -> None:
    cut_short(monkeypatch)
    tree.remove()
    schema.downgrade(tree.office.database, "0026")
    with tree.office.database.read() as db:
        marked = text("SELECT count(*) FROM nodes WHERE removed_ms IS NOT NULL")
        assert db.scalar(marked) == NODES
    schema.upgrade(tree.office.database)
    assert tree.pending == 0

"""Deletion for good of what was removed: in many transactions, each with few nodes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, select, update

from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy
from fsd.services.files import history
from fsd.services.files.commit_checks import VerifiedCommit
from fsd.services.files.removal import Foreseen, foresee
from fsd.store.models import Node
from fsd.store.repos import quotas, versions
from fsproto.errors import NotFoundError
from fsproto.messages.base import Done
from fsproto.messages.files import Removal
from fsproto.messages.history import Forgotten
from fsproto.sealed.manifest import NodeKind
from fsproto.types import NodeId
from tests.support.fixed_keys import stretch
from tests.support.services import Services
from tests.support.shared_folder import SharedFolder, make_folder
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

FILES = {f"{number}": None for number in range(23)}


@pytest.fixture
def alice(office: Services, clock) -> Writer:
    person = office.add("alice")
    person.enrol(office, clock())
    return Writer(office, person, office.files)


def removed_tree(alice: Writer, shape: dict[str, Any]) -> list[bytes]:
    """Insert a removed folder `top` with nodes of a shape (None for a file); return all ids."""
    made = list[Node]()

    def add(name: str, inside: dict[str, Any] | None, above: bytes | None) -> None:
        node = Node(
            id=stretch(f"{above!r} {name}", 16),
            owner_id=alice.person.who.user_id,
            parent_id=above,
            token=None if above is None else stretch(name, 32),
            kind=int(NodeKind.FILE if inside is None else NodeKind.FOLDER),
            version=1,
            manifest_hash=bytes(32),
            next_lineage=b"",
            removed_ms=1,
            removed_from=alice.person.root.node if above is None else None,
        )
        made.append(node)
        for below, more in (inside or {}).items():
            add(below, more, node.id)

    add("top", shape, None)
    ids = [node.id for node in made]
    with alice.office.database.write() as db:
        db.add_all(made)
    return ids


def left(office: Services) -> list[bytes]:
    with office.database.read() as db:
        return list(db.scalars(select(Node.id).where(Node.removed_ms.is_not(None))))


def test_a_piece_has_no_folder_without_all_that_is_below_it(office, alice):
    subfolders = {f"sub {n}": {f"{m}": None for m in range(7)} for n in range(5)}
    nodes = removed_tree(alice, subfolders | {"empty": {}})
    with office.database.write() as db:
        versions.doom(db, nodes[:1])
    sizes = list[int]()
    while some := _deleted_piece(office, 10):
        sizes.append(some)
    assert sum(sizes) == len(nodes) == 42
    assert max(sizes) <= 20
    assert len(sizes) > 2


def _deleted_piece(office: Services, most: int) -> int:
    with office.database.write() as db:
        some = versions.piece(db, versions.doomed(db), most)
        above = {row.id: row.parent_id for row in db.execute(select(Node.id, Node.parent_id))}
        assert not any(above[node] in some for node in above.keys() - set(some))
        versions.drop_removed(db, some)
    return len(some)


def test_a_folder_with_more_nodes_than_a_piece_stays_until_they_are_gone(office, alice):
    nodes = removed_tree(alice, {"a": FILES, "b": FILES})
    with office.database.write() as db:
        versions.doom(db, nodes[:1])
    while _deleted_piece(office, 5):
        assert nodes[0] in left(office) or not left(office)
    assert left(office) == []


def test_no_transaction_of_the_janitor_deletes_many_nodes(office, clock, alice, monkeypatch):
    monkeypatch.setattr(versions, "PIECE", 5)
    removed_tree(alice, {"a": FILES, "b": FILES})
    in_transactions = [0]

    def count(connection, cursor, statement, *_: object) -> None:
        if statement.startswith("DELETE FROM nodes"):
            in_transactions[-1] += cursor.rowcount

    engine = office.database.engine
    event.listen(engine, "after_cursor_execute", count)
    event.listen(engine, "commit", lambda _: in_transactions.append(0))
    Janitor(office.database, office.blobs, clock, KeepPolicy(keep_removed_days=1)).drop_expired()
    assert sum(in_transactions) == 49
    assert max(in_transactions) <= 10
    assert left(office) == []


def test_a_stopped_janitor_leaves_the_rest_for_the_next_one(office, clock, alice):
    nodes = removed_tree(alice, {"a": None})
    with office.database.write() as db:
        versions.doom(db, nodes[:1])
    janitor = Janitor(office.database, office.blobs, clock)
    janitor.stop()
    janitor.drop_expired()
    assert sorted(left(office)) == sorted(nodes)
    Janitor(office.database, office.blobs, clock).drop_expired()
    assert left(office) == []


def test_a_request_deletes_a_part_and_the_janitor_the_rest(office, clock, alice, monkeypatch):
    monkeypatch.setattr(versions, "PIECE", 5)
    monkeypatch.setattr(history, "_PIECES", 2)
    nodes = removed_tree(alice, FILES)
    named = [Forgotten(NodeId(nodes[0]), 1)]
    assert office.histories.forget(alice.person.who, named) == Done()
    assert 0 < len(left(office)) < len(nodes)
    Janitor(office.database, office.blobs, clock).drop_expired()
    assert left(office) == []


def test_nobody_sees_or_restores_what_is_being_deleted(office, alice):
    alice.write("f", b"one")
    alice.remove("f")
    with office.database.write() as db:
        versions.doom(db, [alice.node("f")])
    assert alice.removed() == []
    with pytest.raises(NotFoundError, match="deleted for good"):
        alice.commit("f", alice.chains["f"][-1].body.content, [])
    alice.forget("f")
    alice.write("g", b"two")


def test_what_was_removed_from_a_folder_before_goes_with_it(office, alice):
    nodes = removed_tree(alice, {"inside": {}})
    alice.write("f", b"one")
    alice.remove("f")
    with office.database.write() as db:
        moved = update(Node).where(Node.id == alice.node("f")).values(removed_from=nodes[1])
        db.execute(moved)
        versions.doom(db, nodes[:1])
        assert set(versions.piece(db, nodes[:1], 10)) == {*nodes, alice.node("f")}


# --- what a removal reads before the lock


def test_a_removal_counts_right_though_the_folder_changed_before_its_turn(office, alice):
    """Another commit comes between the look and the lock; what it stored is removed as well."""
    made = make_folder(office, alice.person)
    made.send(alice.person, made.put(alice.person, "first"))
    meant = foreseen(alice, made)
    made.send(alice.person, made.put(alice.person, "second"))
    with office.database.write() as db:
        quota = quotas.hold(db, alice.person.who.user_id)
        assert not meant.holds([made.node], quota)
    again = foreseen(alice, made)
    with office.database.write() as db:
        quota = quotas.hold(db, alice.person.who.user_id)
        assert again.holds([made.node], quota)
        assert not again.holds([made.node, bytes(16)], quota)
    assert len(again.removed.below) == len(meant.removed.below) + 1 == 3
    assert again.removed.held.files == 2


def foreseen(alice: Writer, made: SharedFolder) -> Foreseen:
    person = alice.person
    change = VerifiedCommit(
        states={person.root.node: person.root_state(2)},
        removals=[Removal(person.root.node, made.manifest.body.token)],
    )
    with alice.office.database.read() as db:
        found = foresee(db, person.who, change)
    assert found is not None
    return found


@pytest.mark.one_database
def test_nobody_looks_into_a_folder_by_removing_it(office, clock, alice):
    made = make_folder(office, alice.person)
    bob = office.add("bob")
    bob.enrol(office, clock())
    removal = Removal(alice.person.root.node, made.manifest.body.token)
    change = VerifiedCommit(
        states={alice.person.root.node: alice.person.root_state(2)}, removals=[removal]
    )
    with office.database.read() as db:
        assert foresee(db, bob.who, change) is None

"""Looks at folders: what has changed under them since the look before."""

from __future__ import annotations

import pytest

from fsproto.errors import NotFoundError
from fsproto.keys.grants import Role
from tests.support.services import Clock, Services, ServiceUser
from tests.support.shared_folder import SharedFolder, make_folder

pytestmark = pytest.mark.both_databases


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    return enrolled(office, clock, "alice")


def enrolled(office: Services, clock: Clock, name: str) -> ServiceUser:
    person = office.add(name)
    person.enrol(office, clock())
    return person


@pytest.fixture
def folder(office: Services, alice: ServiceUser) -> SharedFolder:
    return make_folder(office, alice)


def test_a_look_finds_the_changes_since_the_one_before(
    office: Services, clock: Clock, alice: ServiceUser, folder: SharedFolder
) -> None:
    changes, bob = office.changes, enrolled(office, clock, "bob")
    folder.share((bob, Role.WRITER))
    tops = {"folder": folder.node, "root": alice.root.node}
    before = {name: changes.look(alice.who, node, None) for name, node in tops.items()}
    assert all(look.changed for look in before.values())
    for person, name in ((alice, "hers"), (bob, "his")):
        folder.send(person, folder.put(person, name))
        after = {top: changes.look(alice.who, node, before[top]) for top, node in tops.items()}
        assert all(look.changed for look in after.values())
        before = {top: changes.look(alice.who, tops[top], after[top]) for top in tops}
        assert not any(look.changed for look in before.values())
        last = before["root"].last
        assert changes.numbers([last.payer_id]) == {last.payer_id: last.number}


def test_changes_elsewhere_in_the_tree_do_not_count(
    office: Services, clock: Clock, alice: ServiceUser, folder: SharedFolder
) -> None:
    bob = enrolled(office, clock, "bob")
    folder.share((bob, Role.READER))
    before = office.changes.look(bob.who, folder.node, None)
    other = make_folder(office, alice, "other")
    other.send(alice, other.put(alice, "hers"))
    after = office.changes.look(bob.who, folder.node, before)
    assert after.last.number > before.last.number
    assert not after.changed
    folder.share()
    with pytest.raises(NotFoundError):
        office.changes.look(bob.who, folder.node, after)


@pytest.mark.one_database
def test_after_a_hand_over_a_look_counts_as_the_first(
    office: Services, clock: Clock, alice: ServiceUser, folder: SharedFolder
) -> None:
    bob = enrolled(office, clock, "bob")
    folder.share((bob, Role.WRITER))
    before = office.changes.look(bob.who, folder.node, None)
    office.people.hand_over("alice", "bob")
    again = office.changes.look(bob.who, folder.node, before)
    assert again.changed
    assert not office.changes.look(bob.who, folder.node, again).changed

"""Drop keys: added, looked up, removed, and recorded in the audit log."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from fsd.audit.events import AuditEvent
from fsd.policies import DropPolicy
from fsd.services.drops.keys import DropKeyAdmin
from fsd.services.drops.service import DropService
from fsd.store.audit_models import AuditEntry
from fsproto.errors import ExistsError, NotFoundError, UsageError
from fsproto.keys.ssh_keys import SshKey
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.services import Services


def key(name: str) -> SshKey:
    return SshKey("ssh-ed25519", stretch(name, 51), name)


@pytest.fixture
def ring(office: Services, clock) -> DropKeyAdmin:
    for name in ("alice", "bob"):
        office.add(name).enrol(office, clock())
    return DropKeyAdmin(office.database, audit=office.audit, actor="fsadmin:tests", now_ms=clock)


def test_a_key_drops_for_whom_it_was_added(office, ring):
    known = ring.add("alice", key("scanner"), "the  scanner\ton the 2nd floor")
    assert (known.label, known.added_ms) == ("the scanner on the 2nd floor", TIME_MS)
    holder = office.drops.key_holder(known.fingerprint)
    assert holder is not None
    assert (holder.user, holder.label) == ("alice", known.label)
    assert office.drops.key_holder(key("another").fingerprint) is None
    ring.remove(known.fingerprint)
    assert office.drops.key_holder(known.fingerprint) is None
    with pytest.raises(NotFoundError):
        ring.remove(known.fingerprint)


def test_a_key_drops_for_one_person(ring):
    ring.add("alice", key("scanner"), "")
    for name in ("alice", "bob"):
        with pytest.raises(ExistsError, match="alice"):
            ring.add(name, key("scanner"), "")
    ring.add("bob", key("printer"), "b")
    assert [(one.user, one.label) for one in ring.listed()] == [("alice", ""), ("bob", "b")]
    assert [one.user for one in ring.listed("bob")] == ["bob"]


def test_of_many_who_add_one_key_at_once_one_does(ring):
    ready = threading.Barrier(8)

    def add(number: int) -> int:
        ready.wait()
        try:
            ring.add(("alice", "bob")[number % 2], key("scanner"), "")
        except ExistsError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(8))) == 1
    assert len(ring.listed()) == 1


def test_a_key_is_of_no_use_where_nothing_may_be_dropped(office, ring):
    known = ring.add("alice", key("scanner"), "")
    closed = DropService(
        office.database,
        office.blobs,
        policy=DropPolicy(),
        audit=office.audit,
        now_ms=office.drops.now_ms,
        random=office.drops.random,
    )
    assert closed.key_holder(known.fingerprint) is None
    office.people.set_disabled("alice", disabled=True)
    assert office.drops.key_holder(known.fingerprint) is None


def test_a_key_goes_with_its_person_and_stays_with_a_reset(office, ring):
    known = ring.add("alice", key("scanner"), "")
    office.people.reset_keys("alice")
    assert ring.listed() == [known]
    office.people.remove("alice")
    assert ring.listed() == []
    ring.add("bob", key("scanner"), "")


@pytest.mark.parametrize("label", ["x" * 256, "\x1b[2J", "a\u202eb"])
def test_a_note_that_cannot_be_shown_is_refused(ring, label):
    with pytest.raises(UsageError):
        ring.add("alice", key("scanner"), label)
    assert ring.listed() == []


def test_a_key_for_an_unknown_user_is_refused(ring):
    with pytest.raises(NotFoundError):
        ring.add("carol", key("scanner"), "")
    with pytest.raises(NotFoundError):
        ring.listed("carol")


def test_both_are_recorded(office, ring):
    known = ring.add("alice", key("scanner"), "")
    ring.remove(known.fingerprint)
    with office.database.read() as db:
        found = [
            (one.event, one.actor, one.subject, one.detail)
            for one in db.scalars(select(AuditEntry).order_by(AuditEntry.seq))
        ][-2:]
    assert found == [
        (AuditEvent.DROP_KEY_ADDED, "fsadmin:tests", "alice", known.fingerprint),
        (AuditEvent.DROP_KEY_REMOVED, "fsadmin:tests", "alice", known.fingerprint),
    ]

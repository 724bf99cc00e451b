"""Concurrent administrators: no change of one overwrites a change of another."""

from __future__ import annotations

import pytest

from fsd.services.accounts.terms import AccountTerms, NewValue
from fsd.store.audit_models import AuditEntry
from fsproto.errors import ExistsError, FsError, NotFoundError
from tests.support.races import winners
from tests.support.services import Services

pytestmark = pytest.mark.both_databases

ACTS = 20
KIND = {"digits": 6, "period": 30, "algorithm": "SHA1"}


def events(office: Services, event: str) -> int:
    with office.database.read() as db:
        return db.query(AuditEntry).filter(AuditEntry.event == event).count()


def test_each_sets_something_else_and_all_of_it_counts(office):
    office.add("alice")
    terms = [
        AccountTerms(quota_bytes=NewValue(10)),
        AccountTerms(quota_files=NewValue(20)),
        AccountTerms(expires_ms=NewValue(30_000_000_000_000)),
        AccountTerms(note="a note"),
    ]

    def change(number: int) -> None:
        office.people.change("alice", terms[number % len(terms)])

    assert winners(change, range(ACTS), refusal=FsError) == ACTS
    shown = office.people.show("alice")
    assert (shown.quota_bytes, shown.quota_files) == (10, 20)
    assert (shown.expires_ms, shown.note) == (30_000_000_000_000, "a note")
    assert events(office, "user-changed") == ACTS


def test_of_those_who_add_overlapping_lists_one_does_and_the_others_change_nothing(office):
    def add(number: int) -> None:
        new = [
            (f"of{number}", AccountTerms()),
            ("common", AccountTerms()),
            (f"also{number}", AccountTerms()),
        ]
        office.people.add_all(new, lambda _: None, **KIND)

    assert winners(add, range(ACTS), refusal=ExistsError) == 1
    names = [person.name for person in office.people.everybody()]
    assert len(names) == 3
    assert "common" in names
    assert events(office, "user-added") == 3


def test_of_several_concurrent_removals_of_a_user_one_succeeds(office, clock):
    alice = office.add("alice")
    alice.enrol(office, clock())
    alice.put(office, "small", b"x" * 9)

    def remove(_: int) -> None:
        assert office.people.remove("alice").files == 1

    assert winners(remove, range(ACTS), refusal=NotFoundError) == 1
    assert events(office, "user-removed") == 1


def test_a_user_changed_during_the_removal_is_gone_or_was_not_there(office, clock):
    for _ in range(5):
        alice = office.add("alice")
        alice.enrol(office, clock())

        def act(number: int) -> None:
            if number:
                office.people.change("alice", AccountTerms(quota_bytes=NewValue(number)))
            else:
                office.people.remove("alice")

        assert winners(act, range(6), refusal=NotFoundError) >= 1
        with pytest.raises(NotFoundError):
            office.people.show("alice")
        clock.forward(60)

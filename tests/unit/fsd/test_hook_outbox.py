"""The outbox of hooks: every act once, none without its act, and never more than fits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text

from fsd.audit.admin import AuditAdmin
from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.hooks.outbox import GIVE_UP_MS, LONGEST_PAUSE_MS, QUIET_MS, Claimed, Outbox, pause_ms
from fsd.hooks.outcome import Outcome
from fsd.policies import HookPolicy, QuotaPolicy
from fsd.services.files.commits import FileService
from fsd.services.files.quotas import Quotas
from fsd.store.hook_models import HookEvent
from fsd.store.repos import hooks
from fsproto.errors import NotAllowedError
from tests.support.services import Services

pytestmark = pytest.mark.both_databases

OK = Outcome(ok=True, told="status 204")
FAILED = Outcome(ok=False, told="status 500")


def outbox_of(office: Services, *targets: str, most: int = 2000) -> Outbox:
    return Outbox(
        office.database,
        office.audit,
        targets=targets or ("command",),
        events=HookPolicy().events,
        timeout_s=10,
        most=most,
    )


@pytest.fixture
def outbox(office: Services) -> Outbox:
    made = outbox_of(office)
    made.begin()
    return made


def record(office: Services, event: AuditEvent, user: str = "alice", detail: str = "") -> None:
    with office.database.write() as db:
        office.audit.record(db, event, actor=user, subject=user, address="192.0.2.1", detail=detail)


def take_all(outbox: Outbox, target: str = "command") -> list[tuple[str, str, int]]:
    """Deliver all that is due; return the event, the detail and the number of each."""
    outbox.collect()
    taken = []
    while (claimed := outbox.claim(target)) is not None:
        told = claimed.message
        taken.append((told.event, told.detail, told.count))
        outbox.settle(claimed, OK)
    return taken


def claim(outbox: Outbox, target: str = "command") -> Claimed:
    claimed = outbox.claim(target)
    assert claimed is not None
    return claimed


def waiting(office: Services) -> list[HookEvent]:
    with office.database.read() as db:
        found = hooks.waiting(db)
        db.expunge_all()
        return found


@pytest.mark.one_database
def test_wanted_events_are_delivered_once_in_their_order(office, outbox):
    record(office, AuditEvent.DROPPED, detail="1")
    record(office, AuditEvent.LOGIN)
    record(office, AuditEvent.BACKED_UP, detail="2")
    assert take_all(outbox) == [("dropped", "1", 1), ("backed-up", "2", 1)]
    assert take_all(outbox) == []
    assert waiting(office) == []


@pytest.mark.one_database
def test_an_act_that_was_rolled_back_makes_no_event(office, outbox):
    def fail() -> None:
        with office.database.write() as db:
            office.audit.record(db, AuditEvent.DROPPED, actor="alice")
            raise NotAllowedError

    with pytest.raises(NotAllowedError):
        fail()
    assert take_all(outbox) == []


@pytest.mark.one_database
def test_what_happened_before_hooks_were_in_use_is_not_delivered(office):
    record(office, AuditEvent.DROPPED, detail="old")
    outbox = outbox_of(office)
    outbox.begin()
    record(office, AuditEvent.DROPPED, detail="new")
    assert take_all(outbox) == [("dropped", "new", 1)]


@pytest.mark.one_database
def test_what_happens_while_the_server_is_stopped_is_delivered_later(office, outbox):
    record(office, AuditEvent.BACKED_UP)
    again = outbox_of(office)
    again.begin()
    assert take_all(again) == [("backed-up", "", 1)]


@pytest.mark.one_database
def test_each_target_gets_its_own_with_the_same_id(office):
    outbox = outbox_of(office, "command", "webhook")
    outbox.begin()
    record(office, AuditEvent.DROPPED)
    outbox.collect()
    one, other = claim(outbox), claim(outbox, "webhook")
    assert one.message == other.message
    outbox.settle(one, OK)
    outbox.settle(other, FAILED)
    assert [row.target for row in waiting(office)] == ["webhook"]


@pytest.mark.one_database
def test_a_failed_try_waits_longer_each_time_and_keeps_id_and_content(office, outbox, clock):
    record(office, AuditEvent.DROPPED)
    outbox.collect()
    messages = []
    for number in range(1, 8):
        claimed = claim(outbox)
        messages.append(claimed.message)
        assert outbox.settle(claimed, FAILED) == "failed"
        assert outbox.claim("command") is None
        (row,) = waiting(office)
        assert (row.tries, row.error) == (number, "status 500")
        assert 500 << (number - 1) <= row.next_ms - clock() <= 1000 << (number - 1)
        clock.ms = row.next_ms
    assert len(set(messages)) == 1


def test_the_pause_is_bounded():
    assert pause_ms(1, lambda: 1.0) == 1000
    for tries in (20, 100, 10_000):
        assert pause_ms(tries, lambda: 1.0) == LONGEST_PAUSE_MS
        assert pause_ms(tries, lambda: 0.0) == LONGEST_PAUSE_MS // 2


def test_after_three_days_the_server_gives_up_and_records_it(office, outbox, clock):
    record(office, AuditEvent.DROPPED)
    outbox.collect()
    outbox.settle(claim(outbox), FAILED)
    clock.ms += GIVE_UP_MS
    assert outbox.settle(claim(outbox), FAILED) == "given-up"
    assert waiting(office) == []
    with office.database.read() as db:
        event, detail = db.execute(
            text("SELECT event, detail FROM audit_entries ORDER BY seq DESC LIMIT 1")
        ).one()
    assert event == "hook-given-up"
    assert "dropped" in detail
    assert "status 500" in detail
    assert take_all(outbox) == []


@pytest.mark.one_database
def test_a_server_that_was_killed_before_or_after_the_delivery_loses_nothing(office, outbox, clock):
    record(office, AuditEvent.DROPPED)
    outbox.collect()
    claimed = claim(outbox)
    again = outbox_of(office)
    again.begin()
    assert again.claim("command") is None  # another server may be delivering it
    clock.forward(120)
    assert claim(again).message == claimed.message


def test_several_servers_on_one_database_take_each_event_once(office, clock):
    servers = [outbox_of(office) for _ in range(4)]
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(Outbox.begin, servers))
        for number in range(8):
            record(office, AuditEvent.DROPPED, detail=str(number))
        taken = [one for some in pool.map(take_all, servers) for one in some]
    assert sorted(int(detail) for _, detail, _ in taken) == list(range(8))


def test_refused_logins_of_one_name_are_added_up_for_a_minute(office, outbox, clock):
    for _ in range(3):
        record(office, AuditEvent.LOGIN_REFUSED, detail="wrong code")
    record(office, AuditEvent.LOGIN_REFUSED, "bob", "locked")
    assert take_all(outbox) == [("login-refused", "wrong code", 3), ("login-refused", "locked", 1)]
    for second in range(5):
        clock.forward(10)
        record(office, AuditEvent.LOGIN_REFUSED, detail=f"{second}")
        assert take_all(outbox) == []
    clock.ms += QUIET_MS
    assert take_all(outbox) == [("login-refused", "4", 5)]
    clock.ms += QUIET_MS
    record(office, AuditEvent.LOGIN_REFUSED, detail="much later")
    assert take_all(outbox) == [("login-refused", "much later", 1)]


@pytest.mark.one_database
def test_an_event_that_was_tried_is_not_changed_by_later_ones(office, outbox, clock):
    record(office, AuditEvent.LOGIN_REFUSED, detail="first")
    outbox.collect()
    before = claim(outbox).message
    record(office, AuditEvent.LOGIN_REFUSED, detail="second")
    outbox.collect()
    clock.forward(120)
    found = {claimed.message.id: claimed.message for claimed in (claim(outbox), claim(outbox))}
    assert found.pop(before.id) == before
    assert [(one.detail, one.count) for one in found.values()] == [("second", 1)]


@pytest.mark.one_database
def test_other_events_are_never_added_up(office, outbox):
    for _ in range(3):
        record(office, AuditEvent.DROPPED)
    assert [count for _, _, count in take_all(outbox)] == [1, 1, 1]


def test_a_flood_of_one_kind_fills_nothing_and_pushes_nothing_else_out(office, clock):
    outbox = outbox_of(office, most=10)
    outbox.begin()
    record(office, AuditEvent.BACKED_UP)
    for number in range(25):
        clock.forward(0.001)
        record(office, AuditEvent.LOGIN_REFUSED, f"name{number}")
    assert outbox.collect() == 15
    found = [(row.event, row.subject) for row in waiting(office)]
    assert found[0] == ("backed-up", "alice")
    assert found[1:] == [("login-refused", f"name{number}") for number in range(15, 25)]
    with office.database.read() as db:
        assert hooks.dropped(db) == 15


@pytest.mark.one_database
def test_more_entries_than_one_transaction_takes_are_all_collected(office, outbox, monkeypatch):
    monkeypatch.setattr("fsd.hooks.outbox._AT_ONCE", 5)
    with office.database.write() as db:
        for number in range(12):
            office.audit.record(db, AuditEvent.DROPPED, actor="alice", detail=str(number))
    assert [detail for _, detail, _ in take_all(outbox)] == [str(number) for number in range(12)]


@pytest.mark.parametrize("broken", [False, True])
def test_a_log_that_is_rotated_at_once_loses_no_event(office, outbox, home, tmp_path, broken):
    keeper = AuditAdmin(home, office.database, office.audit, "fsadmin:tests", outbox.collect_in)
    record(office, AuditEvent.BACKED_UP)
    (keeper.put_aside if broken else keeper.rotate)(tmp_path / "archive")
    record(office, AuditEvent.DROPPED)
    assert [event for event, _, _ in take_all(outbox)] == ["backed-up", "dropped"]


@pytest.mark.one_database
def test_old_entries_are_not_delivered_after_hooks_were_off_for_long(office, outbox, clock):
    record(office, AuditEvent.DROPPED, detail="old")
    clock.ms += GIVE_UP_MS + 1000
    record(office, AuditEvent.DROPPED, detail="new")
    again = outbox_of(office)
    again.begin()
    assert take_all(again) == [("dropped", "new", 1)]


def test_a_log_that_is_shorter_than_before_does_not_stop_hooks(office, outbox):
    record(office, AuditEvent.DROPPED)
    take_all(outbox)
    with office.database.write() as db:
        db.execute(text("UPDATE hook_progress SET seen = 1000000"))
    outbox.collect()
    record(office, AuditEvent.DROPPED, detail="next")
    assert take_all(outbox) == [("dropped", "next", 1)]


def test_without_hooks_in_the_settings_nothing_is_written_for_them(office):
    record(office, AuditEvent.DROPPED)
    with office.database.read() as db:
        assert db.scalar(select(func.count()).select_from(HookEvent)) == 0
        assert hooks.seen(db) is None


def test_waiting_events_can_be_made_due(office, outbox):
    record(office, AuditEvent.DROPPED)
    outbox.collect()
    outbox.settle(claim(outbox), FAILED)
    with office.database.write() as db:
        assert hooks.make_due(db, office.audit.now_ms(), ["webhook"]) == 0
        assert hooks.make_due(db, office.audit.now_ms(), ["command"]) == 1
    assert outbox.claim("command") is not None


# --- the event of a quota that is almost used up


def near(office: Services) -> list[tuple[str, str]]:
    with office.database.read() as db:
        found = db.execute(
            text(
                "SELECT subject, detail FROM audit_entries WHERE event = 'quota-near' ORDER BY seq"
            )
        )
        return [(row.subject, row.detail) for row in found]


def test_a_quota_is_near_once_each_time_its_last_tenth_is_reached(office, clock):
    from tests.unit.fsd.test_quotas import writer

    policy = QuotaPolicy(most_bytes=1000, most_files=None)
    room = Quotas(office.database, now_ms=clock, policy=policy, audit=AuditLog(office.vault, clock))
    alice = writer(office, clock)
    alice.files = FileService(office.database, office.blobs, now_ms=clock, room=room)
    alice.write("f", b"x" * 899)
    assert near(office) == []
    alice.write("f", b"x" * 900)
    alice.write("f", b"x" * 1000)
    assert near(office) == [("alice", "900 of 1000 bytes")]
    alice.write("f", b"x" * 10)
    alice.write("f", b"x" * 950)
    assert near(office) == [("alice", "900 of 1000 bytes"), ("alice", "950 of 1000 bytes")]

"""The key log at the server: every change of keys is appended in order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from fsd.policies import DAY_MS, LoginPolicy
from fsd.services.files.key_log import KeyLogWriter
from fsd.store.engine import Database
from fsproto import crypto, labels
from fsproto.errors import (
    ConflictError,
    IntegrityError,
    LoginRefused,
    NotAllowedError,
    NotFoundError,
    RemoteProtocolError,
    SecurityError,
    SignatureError,
)
from fsproto.keylog.entries import KeyEvent, sign_rotation
from fsproto.keylog.head import KeyLogHead, verify_head
from fsproto.keylog.log import KeyLog
from fsproto.keys.grants import grant_root
from fsproto.keys.identity import Identity
from fsproto.messages.account import TreeRoot
from fsproto.messages.keylog import Rotate
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, sign_state
from fsproto.sealed.manifest import Manifest, sign_manifest
from fsproto.types import Hash
from tests.support import fixed_keys
from tests.support.key_logs import key_log
from tests.support.key_logs import people as people_with_keys
from tests.support.races import RACERS, winners
from tests.support.services import (
    ADDRESS,
    CHANNEL,
    LOG_KEY,
    Clock,
    Services,
    ServiceUser,
    identity,
    next_rotation,
)

pytestmark = pytest.mark.both_databases


def read(office: Services) -> tuple[KeyLog, KeyLogHead]:
    """Read the whole log like a client; check it against its head."""
    answer = office.key_log.entries(0)
    log = key_log(answer.entries)
    head = verify_head(answer.head, LOG_KEY.public).body
    assert (len(log), log.root(len(log))) == (head.size, head.root)
    return log, head


def events(office: Services) -> list[tuple[str, KeyEvent]]:
    log, entries = key_log(), office.key_log.entries(0).entries
    return [(entry.user, entry.event) for entry in map(log.append, entries)]


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    person = office.add("alice")
    person.enrol(office, clock())
    return person


def test_a_new_log_is_empty_and_signed(office):
    office.log.catch_up(office.database)
    log, head = read(office)
    assert (len(log), head.size, head.key) == (0, 0, LOG_KEY.public)


@pytest.mark.one_database
def test_an_enrolment_is_in_the_log_and_gets_its_head(office, clock):
    person = office.add("alice")
    welcome = person.enrol(office, clock())
    log, head = read(office)
    now = log.now("alice")
    assert now is not None
    assert (now.bundle, now.ed25519) == (
        person.identity.bundle.hash,
        person.identity.signing.public,
    )
    assert verify_head(welcome.log, LOG_KEY.public).body == head
    assert head.time_ms == clock()


@pytest.mark.one_database
def test_every_login_gets_the_head(office, clock, alice):
    office.add("bob").enrol(office, clock())
    ask = alice.login(ticket=alice.ticket)
    _, welcome = office.accounts.login(ask, CHANNEL, ADDRESS)
    assert verify_head(welcome.log, LOG_KEY.public).body == read(office)[1]


@pytest.mark.one_database
def test_an_enrolment_that_is_sent_again_is_in_it_once(office, clock, alice):
    clock.forward(60)
    alice.enrol(office, clock())
    assert events(office) == [("alice", KeyEvent.ENROLLED)]


@pytest.mark.one_database
def test_an_enrolment_that_is_refused_is_not_in_it(office, clock):
    person = office.add("alice")
    with pytest.raises(LoginRefused):
        office.accounts.enroll(person.enrolment("000000"), CHANNEL, ADDRESS)
    grant = office.add("bob").empty_tree.grant
    tree = msgspec.structs.replace(person.empty_tree, grant=grant)
    with pytest.raises((LoginRefused, SecurityError)):
        office.accounts.enroll(person.enrolment(person.code(clock()), tree=tree), CHANNEL, ADDRESS)
    assert events(office) == []


@pytest.mark.parametrize("act", ["reset_keys", "remove"])
@pytest.mark.one_database
def test_removed_keys_are_reported_and_so_are_the_next_ones(office, clock, alice, act):
    getattr(office.people, act)("alice")
    assert read(office)[0].now("alice") is None
    otp = office.add("alice").otp if act == "remove" else alice.otp
    clock.forward(60)
    new = ServiceUser(identity("alice", "other"), otp)
    new.enrol(office, clock())
    assert events(office) == [
        ("alice", KeyEvent.ENROLLED),
        ("alice", KeyEvent.RESET),
        ("alice", KeyEvent.ENROLLED),
    ]
    log, _ = read(office)
    old, after = alice.identity.signing.public, new.identity.signing.public
    assert not log.same_person("alice", old, after)


@pytest.mark.one_database
def test_removing_a_user_without_keys_makes_no_log_entry(office):
    office.add("alice")
    office.people.remove("alice")
    assert events(office) == []


@pytest.mark.one_database
def test_a_change_that_is_rolled_back_leaves_no_entry(office, alice):
    def begin_and_fail() -> None:
        with office.database.write() as db:
            office.log.reset(db, "alice")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_and_fail()
    assert events(office) == [("alice", KeyEvent.ENROLLED)]
    read(office)


def test_of_many_who_enrol_at_once_all_are_in_it_one_after_the_other(office, clock, url_at_head):
    people = [office.add(f"person{n}") for n in range(RACERS)]
    assert winners(lambda n: people[n].enrol(office, clock())) == RACERS
    _, head = read(office)
    assert head.size == RACERS
    assert people_with_keys(office.key_log.entries(0).entries) == sorted(
        person.name for person in people
    )


def test_of_many_who_enrol_and_are_reset_at_once_by_two_servers_every_entry_follows(
    office, clock, url_at_head, tmp_path
):
    people = [office.add(f"person{n}") for n in range(8)]
    for person in people[:4]:
        person.enrol(office, clock())
    with closing(Database(url_at_head)) as other:
        second = Services(other, tmp_path / "second", clock)

        def race(number: int) -> None:
            if number < 4:
                second.people.reset_keys(f"person{number}")
            else:
                people[number].enrol((office, second)[number % 2], clock())

        assert winners(race, range(8)) == 8
    _, head = read(office)
    assert head.size == 4 + 8
    assert people_with_keys(office.key_log.entries(0).entries) == [
        f"person{n}" for n in range(4, 8)
    ]


# --- reading it


@pytest.mark.one_database
def test_it_is_read_from_any_entry_on(office, clock, alice):
    for name in ("bob", "carol"):
        office.add(name).enrol(office, clock())
    whole = office.key_log.entries(0).entries
    assert len(whole) == 3
    for first in range(5):
        assert office.key_log.entries(first).entries == whole[first:]


@pytest.mark.parametrize("first", [-1, 1 << 63, 1 << 70])
@pytest.mark.one_database
def test_there_is_no_such_entry(office, alice, first):
    with pytest.raises(RemoteProtocolError):
        office.key_log.entries(first)


@pytest.mark.one_database
def test_a_persons_bundle_is_the_newest_one(office, alice):
    assert office.key_log.bundle("alice").bundle == alice.identity.bundle.signed
    new, ask = successor(alice)
    office.rotate(alice.who, ask)
    assert office.key_log.bundle("alice").bundle == new.bundle.signed


@pytest.mark.parametrize("name", ["nobody", "dave", "ali\0ce", "", "Alice"])
@pytest.mark.one_database
def test_a_user_without_keys_has_no_bundle(office, alice, name):
    office.add("dave")
    with pytest.raises(NotFoundError):
        office.key_log.bundle(name)


# --- key rotation


def successor(
    person: ServiceUser, keys: str = "second", version: int = 2
) -> tuple[Identity, Rotate]:
    """Return a user's next keys, and the message that rotates to them."""
    new = identity(person.name, keys, version)
    return new, person.rotation(person.code(fixed_keys.TIME_MS, 1), new)


@pytest.mark.one_database
def test_new_keys_that_the_old_one_signs_take_their_place(office, clock, alice):
    new, ask = successor(alice)
    office.rotate(alice.who, ask)
    log, _ = read(office)
    now = log.now("alice")
    assert now is not None
    assert now.bundle == new.bundle.hash
    assert log.same_person("alice", alice.identity.signing.public, new.signing.public)
    again = ServiceUser(new, alice.otp)
    _, welcome = office.accounts.login(again.login(ticket=alice.ticket), CHANNEL, ADDRESS)
    assert welcome.tree == ask.tree
    with pytest.raises(LoginRefused):
        office.accounts.login(alice.login(ticket=alice.ticket), CHANNEL, ADDRESS)


@pytest.mark.one_database
def test_new_keys_end_all_sessions_but_the_one_that_brought_them(office, clock, alice):
    code = alice.code(clock(), 1)
    other, _ = office.accounts.login(alice.login(code), CHANNEL, ADDRESS)
    clock.forward(60)
    assert office.accounts.still_in(other)
    new = identity("alice", "second", 2)
    office.rotate(alice.who, alice.rotation(alice.code(clock()), new))
    assert not office.accounts.still_in(other)
    assert not office.accounts.still_in(alice.who)  # its connection signs with the old key
    ask = ServiceUser(new, alice.otp).login(ticket=alice.ticket)
    who, _ = office.accounts.login(ask, CHANNEL, ADDRESS)
    assert office.accounts.still_in(who)


def _by_another_key(alice: ServiceUser, ask: Rotate) -> Rotate:
    bundle = identity("alice", "second", 2).bundle.hash
    mallory = crypto.SigningKey(fixed_keys.stretch("mallory", 32))
    word = sign_rotation(mallory, alice.identity.bundle.hash, bundle)
    return msgspec.structs.replace(ask, signature=word)


def _for_other_keys(alice: ServiceUser, ask: Rotate) -> Rotate:
    other, _ = identity("alice", "third", 2), None
    return msgspec.structs.replace(ask, bundle=other.bundle.signed)


def _as_a_login(alice: ServiceUser, ask: Rotate) -> Rotate:
    return msgspec.structs.replace(ask, signature=alice.signature(labels.SIGN_LOGIN))


def _of_somebody_else(alice: ServiceUser, ask: Rotate) -> Rotate:
    return msgspec.structs.replace(ask, bundle=identity("bob", "second", 2).bundle.signed)


def _root_by_the_old_key(alice: ServiceUser, ask: Rotate) -> Rotate:
    grant = grant_root(alice.root, alice.identity, fixed_keys.TIME_MS, fixed_keys.Seeded("grant"))
    return msgspec.structs.replace(ask, tree=msgspec.structs.replace(ask.tree, grant=grant))


@pytest.mark.one_database
@pytest.mark.parametrize(
    "wrong",
    [_by_another_key, _for_other_keys, _as_a_login, _of_somebody_else, _root_by_the_old_key],
)
def test_new_keys_that_the_old_one_has_not_signed_are_refused(
    office, alice, wrong: Callable[[ServiceUser, Rotate], Rotate]
):
    _, ask = successor(alice)
    with pytest.raises(SignatureError):
        office.rotate(alice.who, wrong(alice, ask))
    assert events(office) == [("alice", KeyEvent.ENROLLED)]
    assert office.key_log.bundle("alice").bundle == alice.identity.bundle.signed


def _at_another_generation(alice: ServiceUser, new: Identity, tree: TreeRoot) -> TreeRoot:
    body = msgspec.structs.replace(unpack(tree.state.payload, FolderState), generation=1)
    return msgspec.structs.replace(tree, state=sign_state(new.signing, body).signed)


def _with_other_entries(alice: ServiceUser, new: Identity, tree: TreeRoot) -> TreeRoot:
    body = msgspec.structs.replace(
        unpack(tree.state.payload, FolderState), root=Hash(bytes([1] * 32))
    )
    return msgspec.structs.replace(tree, state=sign_state(new.signing, body).signed)


def _with_the_old_state(alice: ServiceUser, new: Identity, tree: TreeRoot) -> TreeRoot:
    return msgspec.structs.replace(tree, state=alice.empty_tree.state)


def _with_the_old_manifest(alice: ServiceUser, new: Identity, tree: TreeRoot) -> TreeRoot:
    return msgspec.structs.replace(tree, manifest=alice.empty_tree.manifest)


def _with_a_gap(alice: ServiceUser, new: Identity, tree: TreeRoot) -> TreeRoot:
    body = msgspec.structs.replace(unpack(tree.manifest.payload, Manifest), version=3)
    return msgspec.structs.replace(tree, manifest=sign_manifest(new.signing, body).signed)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "wrong",
    [_at_another_generation, _with_other_entries, _with_the_old_state, _with_the_old_manifest,
     _with_a_gap],
)  # fmt: skip
def test_new_keys_come_with_the_next_root(
    office, alice, wrong: Callable[[ServiceUser, Identity, TreeRoot], TreeRoot]
):
    new, ask = successor(alice)
    tree = wrong(alice, new, ask.tree)
    with pytest.raises((SecurityError, ConflictError)):
        office.rotate(alice.who, msgspec.structs.replace(ask, tree=tree))
    assert events(office) == [("alice", KeyEvent.ENROLLED)]


@pytest.mark.parametrize("code", ["", "000000"])
@pytest.mark.one_database
def test_keys_are_not_replaced_without_a_code(office, alice, code: str):
    _, ask = successor(alice)
    with pytest.raises(LoginRefused):
        office.rotate(alice.who, msgspec.structs.replace(ask, otp=code))
    assert events(office) == [("alice", KeyEvent.ENROLLED)]


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.one_database
def test_versions_of_keys_have_no_gap(office, alice, version):
    _, ask = successor(alice, version=version)
    with pytest.raises(RemoteProtocolError):
        office.rotate(alice.who, ask)
    assert events(office) == [("alice", KeyEvent.ENROLLED)]


@pytest.mark.one_database
def test_new_keys_come_with_the_users_own_root(office, clock, alice):
    bob = office.add("bob")
    bob.enrol(office, clock())
    new, ask = successor(alice)
    grant = grant_root(bob.root, new, fixed_keys.TIME_MS, fixed_keys.Seeded("grant"))
    tree = msgspec.structs.replace(ask.tree, grant=grant)
    with pytest.raises((RemoteProtocolError, SignatureError)):
        office.rotate(alice.who, msgspec.structs.replace(ask, tree=tree))


def test_of_many_who_replace_the_same_keys_at_once_one_does(office, alice):
    asks = [successor(alice, f"racer {n}")[1] for n in range(8)]
    rotate = office.rotate
    refusal = (ConflictError, LoginRefused)  # they come with one code
    assert winners(lambda n: rotate(alice.who, asks[n]), range(8), refusal=refusal) == 1
    read(office)
    assert events(office) == [("alice", KeyEvent.ENROLLED), ("alice", KeyEvent.ROTATED)]


def test_of_many_who_reset_the_same_keys_at_once_one_does(office, alice):
    reset = office.people.reset_keys
    assert winners(lambda _: reset("alice"), range(8), refusal=NotFoundError) == 1
    assert events(office) == [("alice", KeyEvent.ENROLLED), ("alice", KeyEvent.RESET)]


def test_keys_that_are_replaced_reset_and_removed_at_once_leave_a_log_that_follows(
    office, clock, url_at_head, tmp_path
):
    people = [office.add(f"person{n}") for n in range(4)]
    for person in people:
        person.enrol(office, clock())
    with closing(Database(url_at_head)) as other:
        second = Services(other, tmp_path / "second", clock)
        acts: list[Callable[[], object]] = [
            lambda: second.people.reset_keys("person0"),
            lambda: office.rotate(people[0].who, successor(people[0])[1]),
            lambda: office.people.remove("person1"),
            lambda: second.rotate(people[1].who, successor(people[1])[1]),
            lambda: office.people.reset_keys("person2"),
            lambda: second.people.remove("person2"),
            lambda: office.people.remove("person3"),
            lambda: second.people.remove("person3"),
        ]
        winners(lambda n: acts[n](), range(8), refusal=(NotFoundError, ConflictError, LoginRefused))
    read(office)
    assert people_with_keys(office.key_log.entries(0).entries) == []


# --- users who enrolled before the key log existed


def forget_the_log(database: Database) -> None:
    """Delete the key log, as in a database from before it existed."""
    with database.write() as db:
        db.execute(text("DELETE FROM key_log"))
        db.execute(
            text(
                "UPDATE key_log_head SET size = 0, payload = :none, signature = :none, "
                "frontier = :none"
            ),
            {"none": b""},
        )


@pytest.mark.one_database
def test_who_enrolled_before_the_log_is_in_it_once_it_catches_up(office, clock, alice):
    office.add("bob").enrol(office, clock())
    office.add("newcomer")
    forget_the_log(office.database)
    for _ in range(2):
        office.log.catch_up(office.database)
        assert events(office) == [("alice", KeyEvent.ENROLLED), ("bob", KeyEvent.ENROLLED)]
    now = read(office)[0].now("alice")
    assert now is not None
    assert now.bundle == alice.identity.bundle.hash


@pytest.mark.one_database
def test_who_enrols_after_it_has_caught_up_follows(office, clock, alice):
    forget_the_log(office.database)
    office.log.catch_up(office.database)
    office.add("bob").enrol(office, clock())
    office.log.catch_up(office.database)
    assert events(office) == [("alice", KeyEvent.ENROLLED), ("bob", KeyEvent.ENROLLED)]


@pytest.mark.one_database
def test_a_log_key_of_another_server_is_reported(office, clock, alice):
    other = KeyLogWriter(crypto.SigningKey(fixed_keys.stretch("another home", 32)), now_ms=clock)
    with pytest.raises(IntegrityError, match="log key") as refusal:
        other.catch_up(office.database)
    assert refusal.value.hint


def test_nothing_is_added_to_a_log_of_another_key(office, clock, alice, tmp_path):
    office.add("bob").enrol(office, clock())
    with office.database.write() as db:  # so that bob's enrolment is missing from the log
        db.execute(text("""DELETE FROM key_log WHERE "index" = 1"""))
        db.execute(text("UPDATE key_log_head SET size = 1"))
    other = KeyLogWriter(crypto.SigningKey(fixed_keys.stretch("another home", 32)), now_ms=clock)
    before = office.key_log.entries(0)

    def reset() -> None:
        with office.database.write() as db:
            other.reset(db, "alice")

    for add in (reset, lambda: other.catch_up(office.database)):
        with pytest.raises(IntegrityError, match="log key"):
            add()
        assert office.key_log.entries(0) == before


@pytest.mark.one_database
def test_keys_that_are_reset_before_the_log_has_caught_up_were_never_in_it(office, clock, alice):
    forget_the_log(office.database)
    office.people.reset_keys("alice")
    office.log.catch_up(office.database)
    assert events(office) == []
    clock.forward(60)
    ServiceUser(identity("alice", "other"), alice.otp).enrol(office, clock())
    assert events(office) == [("alice", KeyEvent.ENROLLED)]


def test_ten_who_catch_up_at_once_note_everybody_once(
    office: Services, clock: Clock, alice: ServiceUser, url_at_head: str, tmp_path: Path
):
    office.add("bob").enrol(office, clock())
    forget_the_log(office.database)

    def start(_: int) -> None:
        with closing(Database(url_at_head)) as database:
            KeyLogWriter(LOG_KEY, now_ms=clock).catch_up(database)

    assert winners(start, range(10)) == 10
    assert len(events(office)) == 2
    read(office)


@pytest.mark.one_database
def test_rotations_a_day_are_limited(office, clock, alice):
    most, at = LoginPolicy().rotations_a_day, clock() + 120_000
    for times in range(most):
        _rotate(office, clock, alice, times)
        clock.forward(600)
    with pytest.raises(NotAllowedError, match=f"{most} times in the last 24 hours") as refused:
        _rotate(office, clock, alice, most)
    assert refused.value.again_ms // 60_000 == (at + DAY_MS) // 60_000
    clock.ms = at + DAY_MS - 120_000
    _rotate(office, clock, alice, most)


def _rotate(office: Services, clock, alice: ServiceUser, times: int) -> None:
    """Replace keys, in place of those that `times` rotations have made."""
    clock.forward(60)
    now = alice.identity if not times else identity("alice", f"keys {times}", times + 1)
    new = identity("alice", f"keys {times + 1}", times + 2)
    ask = ServiceUser(now, alice.otp).login(alice.code(clock()))
    who, welcome = office.accounts.login(ask, CHANNEL, ADDRESS)
    clock.forward(60)
    office.rotate(who, next_rotation(now, new, welcome.tree, alice.code(clock()), alice.log_head))

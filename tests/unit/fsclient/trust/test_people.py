"""Which keys a client accepts from a key log, and which it refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.sightings import Gap
from fsproto import crypto
from fsproto.errors import (
    ConflictError,
    FsError,
    IntegrityError,
    KeyChangedError,
    NotFoundError,
    RemoteProtocolError,
    RollbackError,
    SecurityError,
    SignatureError,
)
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, entry_bytes, sign_rotation
from fsproto.keylog.head import pack_log_head, sign_head
from fsproto.keys.identity import Identity
from fsproto.messages.keylog import BundleOf, LogEntries
from fsproto.signed import Signed
from fsproto.types import Hash, NodeId
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.reference import sha256, tree_hash
from tests.support.services import identity

LOG = crypto.SigningKey(stretch("log", 32))
ALICE, BOB, CAROL = (identity(name) for name in ("alice", "bob", "carol"))
BOB_2, BOB_3 = (identity("bob", f"set {version}", version) for version in (2, 3))
BOB_ANEW = identity("bob", "after a reset")


@dataclass
class Server:
    """A server with a key log; it does not check the entries."""

    data: list[bytes] = field(default_factory=list)
    bundle_of: dict[str, Signed] = field(default_factory=dict)
    key: crypto.SigningKey = LOG
    at_once: int = 2
    asked: list[str] = field(default_factory=list)
    """Users whose bundles were asked for."""

    def enrol(self, *people: Identity) -> Server:
        for who in people:
            self._add(who, KeyEvent.ENROLLED, b"")
        return self

    def rotate(self, old: Identity, new: Identity) -> Server:
        word = sign_rotation(old.signing, old.bundle.hash, new.bundle.hash)
        return self._add(new, KeyEvent.ROTATED, word)

    def reset(self, user: str) -> Server:
        index = len(self.data)
        entry = KeyLogEntry(1, index, user, KeyEvent.RESET, Hash(b""), b"", b"", TIME_MS)
        self.data.append(entry_bytes(entry))
        return self

    def _add(self, who: Identity, event: KeyEvent, word: bytes) -> Server:
        bundle, key = who.bundle.hash, who.signing.public
        entry = KeyLogEntry(1, len(self.data), who.user, event, bundle, key, word, TIME_MS)
        self.data.append(entry_bytes(entry))
        self.bundle_of[who.user] = who.bundle.signed
        return self

    def forked(self, size: int) -> Server:
        """Return a server whose log has the same first `size` entries."""
        return Server(self.data[:size], dict(self.bundle_of), self.key, self.at_once)

    def root(self, size: int | None = None) -> Hash:
        data = self.data[: len(self.data) if size is None else size]
        return Hash(tree_hash(data) if data else sha256(b""))

    def head(self, size: int | None = None) -> Signed:
        size = len(self.data) if size is None else size
        return sign_head(self.key, size, self.root(size), TIME_MS)

    def seen(self, size: int | None = None) -> bytes:
        """Return the log head that users include in what they sign."""
        size = len(self.data) if size is None else size
        return pack_log_head(size, self.root(size))

    def log_entries(self, first: int) -> LogEntries:
        return LogEntries(self.data[first : first + self.at_once], self.head())

    def bundles(self, users: Iterable[str]) -> Iterator[tuple[str, BundleOf | NotFoundError]]:
        for user in users:
            self.asked.append(user)
            yield user, BundleOf(self.bundle_of[user])

    def member_lists(self, nodes: Sequence[NodeId]) -> list[Signed]:
        raise AssertionError(nodes)

    def may_read(self, node: NodeId) -> bool:
        raise AssertionError(node)

    def lineages(self, gaps: Sequence[Gap]) -> dict[Gap, Hash]:
        raise AssertionError(gaps)


def meet(people: KeyDirectory, server: Server, said: Signed | None = None) -> None:
    people.check_log_head(server, said or server.head(), people.known())


@pytest.fixture
def server() -> Server:
    return Server().enrol(ALICE, BOB, CAROL)


class Listening(KeyDirectory):
    """A key directory that records its notices."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.notices: list[str] = []
        super().__init__(path, identity, self.notices.append)


@pytest.fixture
def open_people(tmp_path: Path) -> Iterator[Callable[[], Listening]]:
    opened = []

    def open_again() -> Listening:
        opened.append(Listening(tmp_path / "people.db", ALICE))
        return opened[-1]

    yield open_again
    for one in opened:
        one.close()


@pytest.fixture
def people(open_people: Callable[[], KeyDirectory]) -> KeyDirectory:
    return open_people()


# --- reading it


def test_all_of_it_is_read_and_kept(server, people, open_people):
    meet(people, server)
    for one in (people, open_people()):
        found = [one.log.now(user) for user in ("alice", "bob", "carol", "dave")]
        assert [keys and keys.index for keys in found] == [0, 1, 2, None]
        assert one.log_head == server.seen()


def test_only_what_is_new_is_asked_for(server, people):
    meet(people, server)
    server.enrol(identity("dave"))
    asked: list[int] = []

    class Listening(Server):
        def log_entries(self, first: int) -> LogEntries:
            asked.append(first)
            return super().log_entries(first)

    meet(people, Listening(server.data, server.bundle_of))
    meet(people, Listening(server.data, server.bundle_of))
    assert asked == [3]


def test_a_log_that_grows_while_it_is_read_is_read_to_its_end(server, people):
    said = server.head()
    server.enrol(identity("dave"))
    meet(people, server, said)
    assert people.log_head in (server.seen(3), server.seen(4))
    assert people.log.root(3) == server.root(3)


def test_a_shorter_log_than_before_is_refused(server, people):
    meet(people, server)
    with pytest.raises(RollbackError, match="OLDER"):
        meet(people, server.forked(2))


def test_a_log_that_was_under_way_while_another_command_read_on_is_no_attack(
    server, people, open_people
):
    meet(people, server)
    known, late = people.known(), server.head()
    server.enrol(identity("dave"))
    meet(open_people(), server)
    people.check_log_head(server, late, known)


def test_another_log_of_the_same_size_is_refused(server, people):
    meet(people, server)
    with pytest.raises(RollbackError, match="ANOTHER"):
        meet(people, server.forked(2).enrol(identity("carol", "slipped in")))


def test_a_session_that_runs_is_shown_neither_a_shorter_nor_another_log(server, people):
    meet(people, server)
    with pytest.raises(RollbackError, match="OLDER KEY LOG"):
        people.catch_up(server.forked(2))
    with pytest.raises(RollbackError, match="ANOTHER"):
        people.catch_up(server.forked(2).enrol(identity("carol", "slipped in")))
    people.catch_up(server)


def test_a_longer_log_that_does_not_continue_the_seen_one_is_refused(server, people):
    meet(people, server)
    before = people.log_head
    forked = server.forked(1).enrol(identity("bob", "slipped in"), CAROL, identity("dave"))
    with pytest.raises(SecurityError):
        meet(people, forked)
    assert people.log_head == before
    assert people.log.root(3) == server.root(3)
    meet(people, server.enrol(identity("dave")))  # no entry of the forked log was kept


def test_a_log_of_another_key_is_refused(server, people):
    meet(people, server)
    other = server.forked(3)
    other.key = crypto.SigningKey(stretch("another log", 32))
    for grown in (False, True):
        if grown:
            other.enrol(identity("dave"))
        with pytest.raises(SignatureError, match="ANOTHER KEY"):
            meet(people, other)


def test_entries_that_are_held_back_are_missed(server, people):
    server.at_once = 0
    with pytest.raises(RollbackError, match="WITHHOLDS"):
        meet(people, server)


def test_a_head_that_was_said_must_be_that_of_the_log_that_is_shown(server, people):
    other = server.forked(2).enrol(identity("carol", "slipped in"))
    with pytest.raises(RollbackError):
        meet(people, server, other.head())


def test_a_log_that_is_shorter_than_was_said_is_refused(server, people):
    with pytest.raises(RollbackError):
        meet(people, server.forked(2), server.head())


def test_entries_that_cannot_follow_are_refused(server, people):
    with pytest.raises(SecurityError, match="OTHER KEYS"):
        meet(people, server.enrol(identity("bob", "slipped in")))


def test_a_log_that_names_other_keys_for_oneself_is_refused(people):
    with pytest.raises(KeyChangedError, match="FOR YOU"):
        meet(people, Server().enrol(identity("alice", "slipped in")))


def test_a_log_without_oneself_is_refused(people):
    with pytest.raises(KeyChangedError, match="FOR YOU"):
        meet(people, Server().enrol(BOB))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM log WHERE at = 2",
        "UPDATE log SET root = (SELECT root FROM log WHERE at = 0) WHERE at = 2",
        "UPDATE head SET frontier = x'00'",
        "UPDATE head SET payload = x'00'",
        "UPDATE log SET entry = (SELECT entry FROM log WHERE at = 0) WHERE at = 1",
        "UPDATE log SET entry = x'00' WHERE at = 1",
        "UPDATE log SET entry = CAST(entry || 'x' AS BLOB) WHERE at = 1",
        "UPDATE log SET checksum = zeroblob(8) WHERE at = 1",
        "UPDATE log SET root = zeroblob(32) WHERE at = 1",
    ],
)
def test_a_log_on_the_disk_that_is_not_what_its_head_says_is_damage(
    server, people, open_people, tmp_path, damage
):
    meet(people, server)
    with closing(sqlite3.connect(tmp_path / "people.db")) as db, db:
        db.execute(damage)
    with pytest.raises(IntegrityError, match=r"people\.db.* is damaged") as refusal:
        open_people().log.now("bob")
    assert refusal.value.exit_status == 7
    assert refusal.value.hint


# --- heads that others have seen


def test_what_others_have_seen_of_the_same_log_is_well(server, people):
    meet(people, server)
    people.check_heads(server, [b"", *(server.seen(size) for size in (1, 2, 3))])


def test_what_others_have_seen_of_another_log_is_a_fork(server, people):
    meet(people, server)
    forked = server.forked(2).enrol(identity("carol", "slipped in"))
    with pytest.raises(RollbackError, match="a person whose changes you see"):
        people.check_heads(server, [forked.seen()])


def test_who_has_read_further_is_caught_up_with(server, people):
    meet(people, server)
    server.enrol(identity("dave"), identity("erin"))
    people.check_heads(server, [server.seen()])
    assert people.log_head == server.seen()
    assert people.log.now("erin") is not None


def test_what_the_server_has_not_got_is_a_fork(server, people):
    meet(people, server)
    longer = server.forked(3).enrol(identity("dave"))
    with pytest.raises(RollbackError):
        people.check_heads(server, [longer.seen()])


def test_an_invalid_head_is_refused(server, people):
    meet(people, server)
    with pytest.raises(RemoteProtocolError):
        people.check_heads(server, [bytes(39)])


# --- pins


def test_keys_are_pinned_at_their_first_use_and_that_is_said(server, people, open_people):
    meet(people, server)
    assert people.notices == []
    assert people.identity_keys("bob") == [BOB.signing.public]
    (notice,) = people.notices
    assert "bob" in notice
    pin = open_people().pin_of("bob")
    assert pin is not None
    assert (pin.ed25519, pin.bundle, pin.compared) == (
        BOB.signing.public,
        BOB.bundle.hash,
        False,
    )


def test_keys_that_the_old_ones_signed_take_their_place_without_a_word(server, people):
    meet(people, server)
    people.identity_keys("bob")
    people.notices.clear()
    meet(people, server.rotate(BOB, BOB_2).rotate(BOB_2, BOB_3))
    chain = [one.signing.public for one in (BOB, BOB_2, BOB_3)]
    assert people.identity_keys("bob") == chain
    pin = people.pin_of("bob")
    assert pin is not None
    assert pin.ed25519 == BOB_3.signing.public
    assert people.notices == []
    assert people.is_current("bob", BOB.signing.public)


@pytest.mark.parametrize("again", [False, True])
def test_keys_that_were_reset_are_no_longer_accepted(server, people, again):
    meet(people, server)
    people.identity_keys("bob")
    server.reset("bob")
    if again:
        server.enrol(BOB_ANEW)
    meet(people, server)
    assert any("RESET" in notice for notice in people.notices)
    for ask in (people.identity_keys, people.pinned):
        with pytest.raises(KeyChangedError, match="bob"):
            ask("bob")
    with pytest.raises(KeyChangedError):
        people.bundle(server, "bob")
    assert people.identity_keys("carol") == [CAROL.signing.public]


def test_keys_that_were_compared_are_believed_again_and_the_old_ones_are_not(server, people):
    meet(people, server)
    people.identity_keys("bob")
    meet(people, server.reset("bob").enrol(BOB_ANEW))
    people.confirm(people.claimed_bundle(server, "bob"))
    assert people.identity_keys("bob") == [BOB_ANEW.signing.public]
    pin = people.pin_of("bob")
    assert pin is not None
    assert pin.compared
    assert not people.is_current("bob", BOB.signing.public)


def test_that_a_stranger_was_reset_is_nobodys_business(server, people):
    meet(people, server.reset("carol"))
    assert people.notices == []


def test_that_keys_were_compared_is_kept_as_they_are_replaced(server, people):
    meet(people, server)
    people.confirm(people.claimed_bundle(server, "bob"))
    meet(people, server.rotate(BOB, BOB_2))
    people.identity_keys("bob")
    pin = people.pin_of("bob")
    assert pin is not None
    assert (pin.ed25519, pin.compared) == (BOB_2.signing.public, True)


def test_a_user_without_keys_is_not_found(server, people):
    meet(people, server)
    for ask in (people.pinned, people.identity_keys):
        with pytest.raises(NotFoundError, match="nobody"):
            ask("nobody")
    with pytest.raises(NotFoundError):
        people.claimed_bundle(server, "nobody")


def test_a_bundle_is_the_one_that_the_log_names(server, people):
    meet(people, server)
    assert people.bundle(server, "bob").hash == BOB.bundle.hash
    server.bundle_of["bob"] = BOB_2.bundle.signed
    for ask in (people.bundle, people.claimed_bundle):
        with pytest.raises(KeyChangedError, match="OTHER KEYS FOR bob"):
            ask(server, "bob")
    server.bundle_of["bob"] = CAROL.bundle.signed
    with pytest.raises(SignatureError):
        people.bundle(server, "bob")


def test_bundles_of_several_are_asked_for_ahead_and_each_is_good_or_refused(server, people):
    meet(people, server)
    people.bundle(server, "bob")
    server.reset("bob").enrol(BOB_ANEW)
    people.catch_up(server)
    server.asked.clear()
    refused: dict[str, FsError] = {}
    asked = people.bundles(server, ["bob", "carol", "nobody"], refused.__setitem__)
    assert {user: one.hash for user, one in asked.items()} == {"carol": CAROL.bundle.hash}
    assert {user: type(error) for user, error in refused.items()} == {
        "bob": KeyChangedError,
        "nobody": NotFoundError,
    }
    assert server.asked == ["carol"]


def test_keys_that_were_rotated_since_the_log_was_read_are_no_attack(server, people):
    meet(people, server)
    server.rotate(BOB, BOB_2)
    refused: list[tuple[str, Exception]] = []
    found = people.bundles(server, ["bob"], lambda *why: refused.append(why))
    assert (found["bob"].hash, refused) == (BOB_2.bundle.hash, [])
    server.rotate(BOB_2, BOB_3)
    assert people.bundle(server, "bob").hash == BOB_3.bundle.hash


def test_of_several_bundles_one_that_the_log_does_not_name_is_refused_alone(server, people):
    meet(people, server)
    server.bundle_of["bob"] = BOB_2.bundle.signed
    refused: dict[str, FsError] = {}
    found = people.bundles(server, ["bob", "carol"], refused.__setitem__)
    assert list(found) == ["carol"]
    assert isinstance(refused["bob"], KeyChangedError)
    server.bundle_of["bob"] = CAROL.bundle.signed
    with pytest.raises(SignatureError):
        people.bundles(server, ["carol", "bob"], refused.__setitem__)


def test_ones_own_keys_are_all_that_one_ever_had(server, tmp_path):
    new = identity("alice", "second", 2)
    server.rotate(ALICE, new)
    with closing(Listening(tmp_path / "other.db", new)) as people:
        meet(people, server)
        assert people.identity_keys("alice") == [ALICE.signing.public, new.signing.public]


# --- looked up, and not yet confirmed for use


def test_looked_up_keys_are_pinned_only_when_they_are_used(people, server):
    meet(people, server)
    found = people.looked_up(server, ["bob", "carol"])
    assert {user: one.hash for user, one in found.items()} == {
        "bob": BOB.bundle.hash,
        "carol": CAROL.bundle.hash,
    }
    assert (people.pin_of("bob"), people.pin_of("carol"), people.notices) == (None, None, [])
    people.use([found["bob"]])
    pin = people.pin_of("bob")
    assert pin is not None
    assert (pin.bundle, pin.ed25519, pin.compared) == (
        BOB.bundle.hash,
        BOB.signing.public,
        False,
    )
    assert people.pin_of("carol") is None


def test_a_compared_person_stays_compared_after_use(people, server):
    meet(people, server)
    people.confirm(people.claimed_bundle(server, "bob"))
    server.rotate(BOB, BOB_2)
    people.catch_up(server)
    people.use(people.looked_up(server, ["bob"]).values())
    pin = people.pin_of("bob")
    assert pin is not None
    assert (pin.bundle, pin.compared) == (BOB_2.bundle.hash, True)


def test_nobody_is_looked_up_where_one_has_other_keys(people, server):
    meet(people, server)
    people.bundle(server, "bob")
    server.reset("bob").enrol(BOB_ANEW)
    people.catch_up(server)
    with pytest.raises(KeyChangedError):
        people.looked_up(server, ["carol", "bob"])
    assert server.asked == ["bob"]
    server.bundle_of["carol"] = BOB_3.bundle.signed
    with pytest.raises(SecurityError):
        people.looked_up(server, ["carol"])


def test_keys_that_changed_since_they_were_looked_up_are_not_used(people, server):
    meet(people, server)
    both = people.looked_up(server, ["bob", "carol"])
    server.rotate(BOB, BOB_2)
    people.catch_up(server)
    with pytest.raises(ConflictError):
        people.use([both["carol"], both["bob"]])
    assert people.pin_of("carol") is None  # all or none
    server.reset("bob")
    people.catch_up(server)
    with pytest.raises(NotFoundError):
        people.use(both.values())
    server.enrol(BOB_ANEW)
    people.catch_up(server)
    with pytest.raises(KeyChangedError, match="NOT THOSE YOU WERE SHOWN"):
        people.use(both.values())
    assert (people.pin_of("bob"), people.pin_of("carol")) == (None, None)


@pytest.mark.parametrize(
    "look",
    [
        lambda people, server: people.bundle(server, "bob"),
        lambda people, server: people.bundles(server, ["bob"], pytest.fail)["bob"],
        lambda people, server: people.looked_up(server, ["bob"])["bob"],
        lambda people, server: people.claimed_bundle(server, "bob"),
    ],
)
def test_keys_that_were_rotated_since_the_log_was_read_are_not_called_others(people, server, look):
    meet(people, server)
    people.pinned("bob")
    server.rotate(BOB, BOB_2)
    assert look(people, server).hash == BOB_2.bundle.hash


def test_keys_that_were_rotated_since_their_number_was_shown_are_to_be_compared_again(
    people, server
):
    meet(people, server)
    people.show(people.claimed_bundle(server, "bob"))
    server.rotate(BOB, BOB_2)
    with pytest.raises(ConflictError, match="has replaced the keys"):
        people.confirm(people.claimed_bundle(server, "bob"))
    server.reset("bob").enrol(BOB_ANEW)
    people.catch_up(server)
    with pytest.raises(KeyChangedError, match="WHOSE SAFETY NUMBER"):
        people.confirm(people.claimed_bundle(server, "bob"))


def test_an_unknown_key_of_an_author_is_looked_for_in_the_log_once(people, server):
    """What a rotation renews is signed before its own entry is in the log."""
    meet(people, server)
    before = server.seen()
    server.rotate(BOB, BOB_2)
    people.read_for(server, "bob", BOB_2.signing.public, before)
    assert people.identity_keys("bob")[-1] == BOB_2.signing.public
    server.rotate(BOB_2, BOB_3)
    people.read_for(server, "bob", BOB_2.signing.public, before)  # known: nothing is read
    assert people.identity_keys("bob")[-1] == BOB_2.signing.public
    for _ in range(2):
        people.read_for(server, "bob", bytes(32), before)
        server.reset("bob")
    assert people.log.now("bob") is not None  # read once, before the reset

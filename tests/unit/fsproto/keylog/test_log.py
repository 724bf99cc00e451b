"""The key log in the memory of a client that has read all of it."""

from __future__ import annotations

import pytest

from fsproto import crypto
from fsproto.errors import RemoteProtocolError, RollbackError, SecurityError
from fsproto.keylog.entries import KeyEvent, KeyLogEntry, entry_bytes, sign_rotation
from fsproto.keylog.log import KeyLog
from fsproto.types import Hash
from tests.support.fixed_keys import TIME_MS, stretch
from tests.support.key_logs import key_log, people
from tests.support.reference import tree_hash


class Scribe:
    """An honest writer of a key log."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self._now: dict[str, str] = {}

    def enrol(self, user: str, keys: str) -> None:
        self._add(user, KeyEvent.ENROLLED, keys, b"")

    def rotate(self, user: str, keys: str) -> None:
        before = self._now[user]
        word = sign_rotation(signing(user, before), bundle(user, before), bundle(user, keys))
        self._add(user, KeyEvent.ROTATED, keys, word)

    def reset(self, user: str) -> None:
        index = len(self.data)
        entry = KeyLogEntry(1, index, user, KeyEvent.RESET, Hash(b""), b"", b"", TIME_MS)
        self.data.append(entry_bytes(entry))

    def _add(self, user: str, event: KeyEvent, keys: str, signature: bytes) -> None:
        self._now[user] = keys
        public, index = signing(user, keys).public, len(self.data)
        entry = KeyLogEntry(1, index, user, event, bundle(user, keys), public, signature, TIME_MS)
        self.data.append(entry_bytes(entry))


def signing(user: str, keys: str) -> crypto.SigningKey:
    return crypto.SigningKey(stretch(f"{user} {keys} signing", 32))


def public(user: str, keys: str) -> bytes:
    return signing(user, keys).public


def bundle(user: str, keys: str) -> Hash:
    return Hash(stretch(f"{user} {keys} bundle", 32))


@pytest.fixture
def scribe() -> Scribe:
    """A log in which alice rotates her keys twice, and bob enrols again after a reset."""
    scribe = Scribe()
    scribe.enrol("alice", "first")
    scribe.enrol("bob", "first")
    scribe.rotate("alice", "second")
    scribe.reset("bob")
    scribe.enrol("bob", "other")
    scribe.rotate("alice", "third")
    return scribe


@pytest.fixture
def log(scribe: Scribe) -> KeyLog:
    return key_log(scribe.data)


def test_everybody_has_the_keys_of_their_newest_entry(log: KeyLog):
    for user, index, keys in (("alice", 5, "third"), ("bob", 4, "other")):
        now = log.now(user)
        assert now is not None
        assert (now.index, now.bundle, now.ed25519) == (
            index,
            bundle(user, keys),
            public(user, keys),
        )
    assert log.now("carol") is None


def test_a_user_has_no_keys_between_reset_and_enrolment(scribe: Scribe):
    log = key_log(scribe.data[:4])
    assert log.now("bob") is None
    assert people(scribe.data) == ["alice", "bob"]
    assert people(scribe.data[:4]) == ["alice"]


def test_keys_that_follow_from_one_another_are_one_persons(log: KeyLog):
    hers = [public("alice", keys) for keys in ("first", "second", "third")]
    for key in hers:
        assert [keys.ed25519 for keys in log.all_of("alice", key)] == hers
    assert log.same_person("alice", hers[2], hers[0])
    assert log.same_person("alice", hers[0], hers[2])


def test_an_enrolment_after_a_reset_is_another_person(log: KeyLog):
    before, after = public("bob", "first"), public("bob", "other")
    assert not log.same_person("bob", before, after)
    assert not log.same_person("bob", after, before)
    assert [keys.ed25519 for keys in log.all_of("bob", before)] == [before]


def test_a_key_of_somebody_else_is_nobody_of_that_name(log: KeyLog):
    assert log.all_of("bob", public("alice", "first")) == []
    assert not log.same_person("alice", public("alice", "first"), public("bob", "other"))


def test_read_in_parts_it_is_the_same_log(scribe: Scribe, log: KeyLog):
    parts = key_log(scribe.data[:2])
    for one in scribe.data[2:]:
        assert parts.append(one).index == len(parts) - 1
    assert len(parts) == len(log) == 6
    assert parts.root(6) == log.root(6)
    assert parts.now("alice") == log.now("alice")


def test_its_roots_are_tree_hashes_over_what_was_read(scribe: Scribe, log: KeyLog):
    for size in range(1, 7):
        assert log.root(size) == tree_hash(scribe.data[:size])


def test_an_entry_out_of_its_place_is_refused(scribe: Scribe):
    for data in (scribe.data[1:], [scribe.data[0], scribe.data[0]], scribe.data[::-1]):
        with pytest.raises(RemoteProtocolError):
            key_log(data)


def test_a_second_enrolment_of_one_name_is_refused(scribe: Scribe):
    scribe.enrol("alice", "forged")
    with pytest.raises(SecurityError, match="alice"):
        key_log(scribe.data)


def test_after_a_reset_the_old_key_replaces_nothing(scribe: Scribe):
    scribe.reset("alice")
    scribe.rotate("alice", "fourth")
    with pytest.raises(SecurityError):
        key_log(scribe.data)


def test_a_second_reset_is_refused(scribe: Scribe):
    scribe.reset("bob")
    scribe.reset("bob")
    with pytest.raises(SecurityError):
        key_log(scribe.data)


def test_what_others_have_seen_of_this_very_log_is_well(scribe: Scribe, log: KeyLog):
    for size in range(1, 7):
        log.check_seen(size, Hash(tree_hash(scribe.data[:size])))


def test_what_others_have_seen_of_another_log_is_a_fork(scribe: Scribe, log: KeyLog):
    forked = Scribe()
    forked.enrol("alice", "first")
    forked.enrol("bob", "slipped in")
    for size in (2, 1):
        root = Hash(tree_hash(forked.data[:size]))
        if size == 1:
            log.check_seen(size, root)  # both logs have the same first entry
        else:
            with pytest.raises(RollbackError, match="ANOTHER KEY LOG"):
                log.check_seen(size, root)


def test_a_size_that_this_log_never_had_is_a_fork(log: KeyLog):
    with pytest.raises(RollbackError):
        log.check_seen(7, log.root(6))

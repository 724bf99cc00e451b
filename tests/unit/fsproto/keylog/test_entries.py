"""Entries of the key log: their format and their valid order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fsproto import crypto, labels
from fsproto.errors import RemoteProtocolError, SecurityError, SignatureError
from fsproto.keylog.entries import (
    KeyEvent,
    KeyLogEntry,
    Keys,
    check_follows,
    entry_bytes,
    read_entry,
    sign_rotation,
)
from fsproto.types import Hash
from tests.support.fixed_keys import TIME_MS, stretch

replace = msgspec.structs.replace

OLD = crypto.SigningKey(stretch("old", 32))
NEW = crypto.SigningKey(stretch("new", 32))
BEFORE, AFTER = Hash(stretch("bundle before", 32)), Hash(stretch("bundle after", 32))

ENROLLED = KeyLogEntry(1, 0, "alice", KeyEvent.ENROLLED, BEFORE, OLD.public, b"", TIME_MS)
WORD = sign_rotation(OLD, BEFORE, AFTER)
ROTATED = KeyLogEntry(1, 1, "alice", KeyEvent.ROTATED, AFTER, NEW.public, WORD, TIME_MS)
RESET = KeyLogEntry(1, 1, "alice", KeyEvent.RESET, Hash(b""), b"", b"", TIME_MS)
HERS = Keys("alice", 0, BEFORE, OLD.public)


@pytest.mark.parametrize("entry", [ENROLLED, ROTATED, RESET], ids=lambda entry: entry.event.name)
def test_an_entry_is_read_as_it_was_written(entry: KeyLogEntry):
    assert read_entry(entry_bytes(entry), entry.index) == entry


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        (ENROLLED, {"format": 2}),
        (ENROLLED, {"index": 1}),
        (ENROLLED, {"event": 0}),
        (ENROLLED, {"event": 4}),
        (ENROLLED, {"bundle": b""}),
        (ENROLLED, {"bundle": bytes(31)}),
        (ENROLLED, {"ed25519": b""}),
        (ENROLLED, {"ed25519": bytes(33)}),
        (ENROLLED, {"signature": bytes(64)}),
        (ROTATED, {"signature": b""}),
        (ROTATED, {"signature": bytes(63)}),
        (ROTATED, {"bundle": b""}),
        (RESET, {"bundle": bytes(32)}),
        (RESET, {"ed25519": bytes(32)}),
        (RESET, {"signature": bytes(64)}),
    ],
    ids=str,
)
def test_an_entry_of_another_shape_is_refused(entry: KeyLogEntry, changes: dict[str, Any]):
    data = entry_bytes(replace(entry, **changes))
    with pytest.raises(RemoteProtocolError):
        read_entry(data, entry.index)


def test_an_entry_with_something_behind_it_is_refused():
    with pytest.raises(RemoteProtocolError):
        read_entry(entry_bytes(ENROLLED) + b"\0", 0)


def test_the_word_of_the_old_key_is_what_the_protocol_says():
    crypto.verify(OLD.public, WORD, b"fs/2 key rotation", BEFORE, AFTER)


def test_keys_come_are_replaced_and_go():
    assert check_follows(ENROLLED, None) == HERS
    assert check_follows(ROTATED, HERS) == Keys("alice", 1, AFTER, NEW.public)
    assert check_follows(RESET, HERS) is None


def test_a_rotation_without_the_old_keys_signature_is_refused():
    with pytest.raises(SecurityError, match="OTHER KEYS"):
        check_follows(replace(ENROLLED, index=1, bundle=AFTER, ed25519=NEW.public), HERS)


@pytest.mark.parametrize("entry", [ROTATED, RESET], ids=lambda entry: entry.event.name)
def test_a_user_without_keys_has_none_to_replace_or_lose(entry: KeyLogEntry):
    with pytest.raises(SecurityError, match="it never named"):
        check_follows(entry, None)


@pytest.mark.parametrize(
    "signature",
    [
        sign_rotation(NEW, BEFORE, AFTER),
        sign_rotation(OLD, AFTER, BEFORE),
        sign_rotation(OLD, BEFORE, BEFORE),
        OLD.sign(labels.SIGN_BUNDLE, BEFORE, AFTER),
        bytes(64),
    ],
    ids=["by the new key", "the other way round", "for other keys", "as a bundle", "none"],
)
def test_only_the_old_key_says_what_follows_it(signature: bytes):
    with pytest.raises(SignatureError, match="has not signed"):
        check_follows(replace(ROTATED, signature=signature), HERS)

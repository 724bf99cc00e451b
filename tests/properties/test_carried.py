"""Exports and backups: they survive a round trip, and with damage at any place they do not open."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from fsproto.errors import IntegrityError, WrongPassphraseError
from fsproto.keys.export import check_export, open_export
from fsproto.keys.portable import (
    Portable,
    Seen,
    pack_portable,
    pack_seen,
    unpack_portable,
    unpack_seen,
)
from fsproto.keys.recovery import RecoverySecret
from fsproto.link import Address, EnrollLink
from tests.support import reference
from tests.support import strategies as our
from tests.support.fixed_keys import Seeded, keyed_node, person, stretch

PASSPHRASE = "correct horse"
SECRET = RecoverySecret("alice", stretch("phrase", 16))
LINK = EnrollLink("alice", Address("files.example.org", 2222), "SHA256:" + "A" * 43)
ROOT = keyed_node("root").node

parts = st.dictionaries(st.text(max_size=10), st.binary(max_size=30), max_size=4)
seen = st.lists(
    st.builds(Seen, our.node_ids, st.sampled_from([1, 2, 3]), our.versions, our.hashes, our.hashes),
    max_size=5,
)


@cache
def exported() -> bytes:
    """Return an export under `PASSPHRASE`, built from the format's description, cheap to open."""
    plain = pack_portable(Portable(person("alice"), LINK, ROOT))
    salt, passes, lanes, memory_kib = stretch("salt", 16), 1, 1, 8
    derive = Argon2id(
        salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib
    ).derive
    kdf = msgspec.msgpack.encode([salt, passes, lanes, memory_kib])
    body = AESGCM(derive(PASSPHRASE.encode())).encrypt(bytes(12), plain, b"fs/2 export" + kdf)
    check = reference.sha256(b"fs/2 export" + kdf + bytes(12) + body)
    return b"FSEXP1\n" + msgspec.msgpack.encode([msgspec.Raw(kdf), bytes(12), body, check])


@cache
def backup() -> bytes:
    """Return a backup under `SECRET`."""
    return SECRET.seal(Portable(person("alice"), LINK, ROOT), Seeded("backup"))


@given(root=our.node_ids, parts=parts)
def test_a_portable_profile_comes_back_as_it_was(root, parts):
    read = unpack_portable(pack_portable(Portable(person("alice"), LINK, root, parts)))
    assert (read.link, read.root, read.parts) == (LINK, root, parts)
    assert read.identity.bundle == person("alice").bundle


@given(seen)
def test_what_was_seen_comes_back_as_it_was(seen):
    assert unpack_seen(pack_seen(seen)) == seen


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_portable_profile(data):
    for unpack in (unpack_portable, unpack_seen):
        try:
            unpack(data)
        except ValueError:
            continue
        assert unpack is unpack_seen  # for example, a short valid list


def test_an_export_made_by_its_description_opens():
    assert open_export(exported(), PASSPHRASE).identity.bundle == person("alice").bundle


@given(st.text(max_size=30).filter(lambda text: text != PASSPHRASE))
def test_any_other_passphrase_is_the_wrong_one(passphrase):
    with pytest.raises(WrongPassphraseError):
        open_export(exported(), passphrase)


@given(data=st.data())
def test_an_export_with_any_bit_changed_is_damaged_and_asks_for_no_passphrase(data):
    with pytest.raises(IntegrityError):
        check_export(data.draw(our.flipped(exported())))


@given(data=st.data())
def test_an_export_that_is_cut_or_longer_is_damaged(data):
    cut = exported()[: data.draw(st.integers(0, len(exported()) - 1))]
    for damaged in (cut, exported() + data.draw(st.binary(min_size=1, max_size=20))):
        with pytest.raises(IntegrityError):
            check_export(damaged)


@given(data=st.data())
def test_a_backup_with_any_bit_changed_does_not_open(data):
    with pytest.raises(IntegrityError):
        SECRET.open(data.draw(our.flipped(backup())))


@given(data=st.data())
def test_a_backup_that_is_cut_or_longer_does_not_open(data):
    cut = backup()[: data.draw(st.integers(0, len(backup()) - 1))]
    for damaged in (cut, backup() + data.draw(st.binary(min_size=1, max_size=20))):
        with pytest.raises(IntegrityError):
            SECRET.open(damaged)


@given(our.exactly(16).filter(lambda secret: secret != SECRET.secret))
def test_no_other_secret_opens_a_backup(secret):
    with pytest.raises(IntegrityError):
        RecoverySecret("alice", secret).open(backup())

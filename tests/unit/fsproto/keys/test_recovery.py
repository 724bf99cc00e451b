"""Backups under the secret of a recovery phrase."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from fsproto import crypto
from fsproto.errors import IntegrityError
from fsproto.keys.portable import Portable, pack_portable
from fsproto.keys.recovery import MAGIC, RecoverySecret
from fsproto.limits import MAX_BACKUP
from tests.support import reference
from tests.support.fixed_keys import Seeded, person, stretch
from tests.unit.fsproto.keys.test_portable import LINK, ROOT, alices

BYTES = stretch("phrase", 16)
SECRET = RecoverySecret("alice", BYTES)


@cache
def backup() -> bytes:
    """Return the backup of alice's identity."""
    return SECRET.seal(alices(), Seeded("backup"))


def test_the_identity_comes_back():
    read = SECRET.open(backup())
    assert (read.link, read.root) == (LINK, ROOT)
    assert read.identity.bundle == person("alice").bundle
    assert read.identity.signing.seed == person("alice").signing.seed


def test_the_server_can_read_nothing_of_it():
    alice = person("alice")
    for hidden in (alice.signing.seed, alice.kem.seed, alice.rsa.der[-200:], b"example", b"alice"):
        assert hidden not in backup()
    assert BYTES not in backup()
    assert len(backup()) < MAX_BACKUP // 4


def test_salt_and_so_the_key_are_drawn_for_every_backup():
    draw = Seeded("backups")
    (one, _), (two, _) = (
        msgspec.msgpack.decode(SECRET.seal(alices(), draw).removeprefix(MAGIC)) for _ in range(2)
    )
    assert len(one) == 32
    assert one != two


def test_the_signing_key_follows_from_secret_and_person():
    seed = reference.hkdf(BYTES, b"", b"fs/2 recovery signing keyalice")
    assert SECRET.signing.seed == seed
    keys = {
        RecoverySecret(user, secret).signing.public
        for user in ("alice", "bob")
        for secret in (BYTES, stretch("other", 16))
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("user", "secret"),
    [("alice", stretch("other", 16)), ("bob", BYTES), ("alice", bytes(16))],
    ids=["another phrase", "another person", "zeros"],
)
def test_no_other_secret_opens_it(user, secret):
    with pytest.raises(IntegrityError, match="ANOTHER BACKUP"):
        RecoverySecret(user, secret).open(backup())


def sealed_by_hand(plain: bytes, user: bytes = b"alice") -> bytes:
    """Return a backup of any plaintext, as the holder of the phrase could make it."""
    salt = stretch("salt", 32)
    key = reference.hkdf(BYTES, salt, b"fs/2 recovery backup key" + user)
    return MAGIC + msgspec.msgpack.encode([salt, crypto.Aead(key).seal(bytes(12), plain)])


def test_a_backup_made_by_its_description_opens():
    assert SECRET.open(sealed_by_hand(pack_portable(alices()))).root == ROOT


def test_the_identity_of_another_person_is_refused_even_under_the_right_phrase():
    link = type(LINK)("bob", LINK.address, LINK.host_key)
    plain = pack_portable(Portable(person("bob"), link, ROOT))
    assert RecoverySecret("bob", BYTES).open(sealed_by_hand(plain, b"bob")).root == ROOT
    with pytest.raises(IntegrityError):
        SECRET.open(sealed_by_hand(plain))


@pytest.mark.parametrize("plain", [b"", b"\x90", pack_portable(alices())[:-1]])
def test_what_is_no_profile_inside_is_refused(plain):
    with pytest.raises(IntegrityError):
        SECRET.open(sealed_by_hand(plain))


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_secret_has_its_size(size):
    with pytest.raises(ValueError):
        RecoverySecret("alice", bytes(size))


def test_a_secret_does_not_show():
    assert repr(BYTES) not in repr(SECRET)

"""Keyfiles, which store an identity."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from fsproto.errors import IntegrityError, WrongPassphraseError
from fsproto.keys.key_file import (
    MAGIC,
    key_of,
    needs_passphrase,
    open_identity,
    open_with_key,
    seal_identity,
)
from tests.support.fixed_keys import Seeded, person

ALICE = person("alice")
PASSPHRASE = "correct horse bättery staple"


@cache
def sealed() -> bytes:
    """Return alice's keyfile under `PASSPHRASE`."""
    return seal_identity(ALICE, PASSPHRASE, Seeded("keyfile"))


@cache
def plain() -> bytes:
    """Return alice's keyfile without a passphrase."""
    return seal_identity(ALICE, None, Seeded("keyfile"))


def test_an_identity_comes_back_with_all_its_keys():
    for data, passphrase in ((plain(), None), (sealed(), PASSPHRASE)):
        opened = open_identity(data, passphrase)
        assert opened.bundle == ALICE.bundle
        assert opened.user == "alice"
        assert opened.signing.seed == ALICE.signing.seed
        assert opened.rsa.der == ALICE.rsa.der
        assert opened.kem.seed == ALICE.kem.seed


def test_a_keyfile_says_whether_it_needs_a_passphrase():
    assert needs_passphrase(sealed())
    assert not needs_passphrase(plain())


def test_the_key_of_the_passphrase_opens_the_file_and_no_other_key_does():
    key = key_of(sealed(), PASSPHRASE)
    assert len(key) == 32
    assert open_with_key(sealed(), key).signing.seed == ALICE.signing.seed
    other = seal_identity(ALICE, PASSPHRASE, Seeded("another keyfile"))
    for wrong in (key_of(other, PASSPHRASE), key_of(sealed(), "p"), key[:31], b"", bytes(32)):
        with pytest.raises(WrongPassphraseError):
            open_with_key(sealed(), wrong)


def test_a_keyfile_without_a_passphrase_has_no_key():
    with pytest.raises(IntegrityError):
        key_of(plain(), PASSPHRASE)
    with pytest.raises(IntegrityError):
        open_with_key(plain(), bytes(32))


def test_nothing_private_can_be_read_from_a_sealed_keyfile():
    for private in (ALICE.signing.seed, ALICE.kem.seed, ALICE.rsa.der[-200:]):
        assert private not in sealed()
        assert private in plain()


def test_the_costs_are_those_of_rfc_9106_and_stand_in_the_file():
    (salt, *costs), nonce, _ = msgspec.msgpack.decode(sealed().removeprefix(MAGIC))
    assert costs == [3, 4, 64 * 1024]
    assert (len(salt), len(nonce)) == (16, 12)


def test_salt_and_nonce_are_drawn_for_every_file():
    draw = Seeded("keyfiles")
    one, two = (
        msgspec.msgpack.decode(seal_identity(ALICE, "p", draw).removeprefix(MAGIC))
        for _ in range(2)
    )
    assert one[0][0] != two[0][0]
    assert one[1] != two[1]


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE + " ", "\ud800"])
def test_anything_but_the_passphrase_is_refused(passphrase: str | None):
    with pytest.raises(WrongPassphraseError):
        open_identity(sealed(), passphrase)


def _with_kdf(*kdf: object) -> bytes:
    return MAGIC + msgspec.msgpack.encode([list(kdf), bytes(12), bytes(100)])


@pytest.mark.parametrize(
    "costs", [(0, 1, 8), (17, 1, 8), (1, 0, 8), (1, 17, 8), (1, 1, 0), (1, 1, (1 << 20) + 1)]
)
def test_a_file_cannot_make_its_reader_work_for_ever(costs: tuple[int, int, int]):
    with pytest.raises(IntegrityError):
        open_identity(_with_kdf(bytes(16), *costs), "p")


@pytest.mark.parametrize("kdf", [(b"", 1, 1, 8), (bytes(7), 1, 1, 8), (bytes(16), 1, 4, 31)])
def test_costs_that_argon2_does_not_take_open_nothing(kdf: tuple[bytes, int, int, int]):
    with pytest.raises(WrongPassphraseError):
        open_identity(_with_kdf(*kdf), "p")


RSA_OID = bytes.fromhex("06092a864886f70d010101")


@pytest.mark.parametrize("at", range(len(RSA_OID)))
def test_a_damaged_rsa_key_is_a_damaged_file(at: int):
    data = plain()
    start = data.index(RSA_OID)
    damaged = data[: start + at] + bytes([data[start + at] ^ 2]) + data[start + at + 1 :]
    with pytest.raises(IntegrityError):
        open_identity(damaged, None)


@pytest.mark.parametrize("private", ["signing", "rsa", "kem"])
def test_keys_that_are_not_of_the_bundle_are_refused(private: str):
    mixed = {name: getattr(ALICE, name) for name in ("signing", "rsa", "kem")}
    mixed[private] = getattr(person("bob"), private)
    data = seal_identity(type(ALICE)("alice", bundle=ALICE.bundle, **mixed), None, Seeded("mixed"))
    with pytest.raises(IntegrityError):
        open_identity(data, None)


def test_a_keyfile_of_one_person_is_not_of_another():
    renamed = type(ALICE)("bob", ALICE.signing, ALICE.rsa, ALICE.kem, ALICE.bundle)
    with pytest.raises(IntegrityError):
        open_identity(seal_identity(renamed, None, Seeded("renamed")), None)


@pytest.mark.parametrize("check", [b"", bytes(12), bytes(32)])
def test_a_plain_keyfile_is_checked_before_its_keys_are_used(check: bytes):
    _, _, keys = msgspec.msgpack.decode(plain().removeprefix(MAGIC))
    with pytest.raises(IntegrityError):
        open_identity(MAGIC + msgspec.msgpack.encode([None, check, keys]), None)

"""Keyfiles: damage at any place and any wrong passphrase are detected."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from fsproto.errors import IntegrityError, WrongPassphraseError
from fsproto.keys.key_file import needs_passphrase, open_identity, seal_identity
from tests.support import strategies as our
from tests.support.fixed_keys import Seeded, person, stretch

PASSPHRASE = "correct horse"
MAGIC = b"FSKEY1\n"


@cache
def plain() -> bytes:
    """Return a keyfile without a passphrase."""
    return seal_identity(person("alice"), None, Seeded("keyfile"))


@cache
def sealed() -> bytes:
    """Return a keyfile under `PASSPHRASE`, built from the format's description, cheap to open."""
    _, _, keys = msgspec.msgpack.decode(plain().removeprefix(MAGIC))
    salt, passes, lanes, memory_kib = stretch("salt", 16), 1, 1, 8
    derive = Argon2id(
        salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib
    ).derive
    kdf = msgspec.msgpack.encode([salt, passes, lanes, memory_kib])
    body = AESGCM(derive(PASSPHRASE.encode())).encrypt(bytes(12), keys, b"fs/2 keyfile" + kdf)
    return MAGIC + msgspec.msgpack.encode([msgspec.Raw(kdf), bytes(12), body])


def test_a_keyfile_made_by_its_description_opens():
    assert needs_passphrase(sealed())
    assert not needs_passphrase(plain())
    for data, passphrase in ((sealed(), PASSPHRASE), (plain(), None)):
        assert open_identity(data, passphrase).bundle == person("alice").bundle


@given(st.text(max_size=30).filter(lambda text: text != PASSPHRASE))
def test_any_other_passphrase_is_the_wrong_one(passphrase: str):
    with pytest.raises(WrongPassphraseError):
        open_identity(sealed(), passphrase)


@given(data=st.data())
def test_a_sealed_keyfile_with_any_bit_changed_does_not_open(data: st.DataObject):
    damaged = data.draw(our.flipped(sealed()))
    with pytest.raises((IntegrityError, WrongPassphraseError)):
        open_identity(damaged, PASSPHRASE)


@given(data=st.data())
def test_a_plain_keyfile_with_any_bit_changed_is_damaged(data: st.DataObject):
    with pytest.raises(IntegrityError):
        open_identity(data.draw(our.flipped(plain())), None)


@given(data=st.data())
def test_a_keyfile_that_is_cut_or_longer_is_damaged(data: st.DataObject):
    whole = data.draw(st.sampled_from([plain(), sealed()]))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for damaged in (cut, whole + data.draw(st.binary(min_size=1, max_size=20))):
        with pytest.raises(IntegrityError):
            open_identity(damaged, PASSPHRASE)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: MAGIC + data))
def test_arbitrary_bytes_are_no_keyfile(data: bytes):
    with pytest.raises(IntegrityError):
        needs_passphrase(data)

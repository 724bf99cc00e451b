"""Exported profiles: always under a passphrase; damage and a wrong passphrase are distinguished."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from fsproto import crypto
from fsproto.errors import IntegrityError, WrongPassphraseError
from fsproto.keys.export import MAGIC, check_export, open_export, seal_export
from tests.support.fixed_keys import Seeded, person
from tests.unit.fsproto.keys.test_portable import LINK, ROOT, alices

PASSPHRASE = "correct horse bättery staple"


@cache
def exported() -> bytes:
    """Return alice's profile under `PASSPHRASE`."""
    return seal_export(alices(seen=b"part"), PASSPHRASE, Seeded("export"))


def test_the_profile_comes_back():
    read = open_export(exported(), PASSPHRASE)
    assert (read.link, read.root, read.parts) == (LINK, ROOT, {"seen": b"part"})
    assert read.identity.bundle == person("alice").bundle
    check_export(exported())


def test_nothing_of_it_can_be_read_without_the_passphrase():
    alice = person("alice")
    for hidden in (alice.signing.seed, alice.kem.seed, alice.rsa.der[-200:], b"example", b"alice"):
        assert hidden not in exported()


def test_there_is_no_export_without_a_passphrase():
    with pytest.raises(ValueError, match="passphrase"):
        seal_export(alices(), "", Seeded("export"))


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE + " ", "\ud800"])
def test_a_wrong_passphrase_is_reported_as_such(passphrase):
    with pytest.raises(WrongPassphraseError, match="exported profile"):
        open_export(exported(), passphrase)


def test_salt_and_nonce_are_drawn_for_every_export():
    draw = Seeded("exports")
    one, two = (
        msgspec.msgpack.decode(seal_export(alices(), "p", draw).removeprefix(MAGIC))
        for _ in range(2)
    )
    assert one[0][0] != two[0][0]
    assert one[1] != two[1]


def test_the_costs_are_those_of_a_keyfile():
    (salt, *costs), nonce, *_ = msgspec.msgpack.decode(exported().removeprefix(MAGIC))
    assert costs == [3, 4, 64 * 1024]
    assert (len(salt), len(nonce)) == (16, 12)


@pytest.mark.parametrize(
    "costs", [(0, 1, 8), (17, 1, 8), (1, 0, 8), (1, 17, 8), (1, 1, 0), (1, 1, (1 << 20) + 1)]
)
def test_a_file_cannot_make_its_reader_work_for_ever(costs):
    kdf = msgspec.msgpack.encode([bytes(16), *costs])
    check = crypto.sha256(b"fs/2 export", kdf, bytes(12), bytes(50))
    packed = msgspec.msgpack.encode([msgspec.Raw(kdf), bytes(12), bytes(50), check])
    with pytest.raises(IntegrityError, match="damaged"):
        open_export(MAGIC + packed, "p")


def test_a_file_that_is_not_an_export_is_reported():
    for other in (b"", b"FSKEY1\n" + exported()[7:], b"-----BEGIN PGP-----"):
        with pytest.raises(IntegrityError, match="not an exported profile") as refused:
            check_export(other)
        assert "keys export" in str(refused.value.hint)

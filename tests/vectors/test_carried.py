"""The vectors of exports and backups, against `fsproto` and against the plain reference."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsclient.trust.bip39 import phrase_of, secret_of
from fsproto.errors import FsError
from fsproto.keys.export import open_export
from fsproto.keys.recovery import RecoverySecret
from tests.support import reference
from tests.support.fixed_keys import person
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets


@good("export")
def test_an_export_gives_the_profile(vector: Vector):
    opened = open_export(octets(vector, "export"), vector["passphrase"])
    assert opened.identity.bundle == person(vector["user"]).bundle
    assert (str(opened.link), opened.root.hex()) == (vector["link"], vector["root"])
    assert {name: part.hex() for name, part in opened.parts.items()} == vector["parts"]


@bad("export")
def test_a_faulty_export_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        open_export(octets(vector, "export"), vector["passphrase"])
    assert type(refused.value) is named_error(vector)


@good("recovery")
def test_a_phrase_signs_and_opens(vector: Vector):
    secret, user = octets(vector, "secret"), vector["user"]
    assert secret_of(vector["phrase"]) == secret
    assert phrase_of(secret) == vector["phrase"]
    mine = RecoverySecret(user, secret)
    assert mine.signing.public == octets(vector, "public")
    seed = reference.hkdf(secret, b"", b"fs/2 recovery signing key" + user.encode())
    told = b"fs/2 recover" + octets(vector, "channel_id") + user.encode()
    assert Ed25519PrivateKey.from_private_bytes(seed).sign(told) == octets(vector, "signature")
    opened = mine.open(octets(vector, "backup"))
    assert opened.identity.bundle == person(user).bundle
    assert (str(opened.link), opened.root.hex()) == (vector["link"], vector["root"])
    assert _opened_by_hand(vector)[1:3] == [vector["link"], octets(vector, "root")]


def _opened_by_hand(vector: Vector) -> list[object]:
    salt, body = msgspec.msgpack.decode(octets(vector, "backup").removeprefix(b"FSBAK1\n"))
    info = b"fs/2 recovery backup key" + vector["user"].encode()
    key = reference.hkdf(octets(vector, "secret"), salt, info)
    fields: list[object] = msgspec.msgpack.decode(AESGCM(key).decrypt(bytes(12), body, b""))
    return fields


@bad("recovery")
def test_a_faulty_backup_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        RecoverySecret(vector["user"], octets(vector, "secret")).open(octets(vector, "backup"))
    assert type(refused.value) is named_error(vector)

"""The vectors about which libraries disagree: signatures and encodings."""

from __future__ import annotations

import pytest

from fsproto import crypto
from fsproto.errors import FsError, SignatureError
from fsproto.packing import pack, unpack
from fsproto.sealed.folder import FolderState
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets
from tests.vectors.fields import from_json


def _verify(vector: Vector) -> None:
    public, signature = octets(vector, "public"), octets(vector, "signature")
    crypto.verify(public, signature, octets(vector, "message"))


@good("ed25519")
def test_a_signature_verifies(vector: Vector):
    _verify(vector)


@bad("ed25519")
def test_a_signature_that_only_some_libraries_accept_is_refused(vector: Vector):
    assert named_error(vector) is SignatureError
    with pytest.raises(crypto.CryptoError):
        _verify(vector)


@good("packing")
def test_the_shortest_encoding_is_read(vector: Vector):
    body = from_json(FolderState, vector["fields"])
    assert unpack(octets(vector, "payload"), FolderState) == body
    assert pack(body) == octets(vector, "payload")


@bad("packing")
def test_any_other_encoding_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        unpack(octets(vector, "payload"), FolderState)
    assert type(refused.value) is named_error(vector)

"""The vectors of batches: many payloads under one signature."""

from __future__ import annotations

import pytest

from fsproto import labels
from fsproto.crypto import CryptoError
from fsproto.errors import SignatureError
from fsproto.signed import Signed, Verifier
from tests.support import reference
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets


def _verify(vector: Vector) -> None:
    signed = Signed(octets(vector, "payload"), octets(vector, "signature"))
    Verifier(octets(vector, "public")).verify(signed, labels.SIGN_MANIFEST, labels.SIGN_MANIFESTS)


@good("signed")
def test_one_of_many_signed_at_once_verifies(vector: Vector):
    _verify(vector)
    reference.verify_one_of_many(
        octets(vector, "public"),
        b"fs/2 many manifests",
        octets(vector, "payload"),
        octets(vector, "signature"),
    )


@bad("signed")
def test_a_faulty_signature_over_many_is_refused(vector: Vector):
    assert named_error(vector) is SignatureError
    with pytest.raises(CryptoError):
        _verify(vector)

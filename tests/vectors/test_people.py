"""The vectors of what people compare, sign and type."""

from __future__ import annotations

import unicodedata
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fsclient.trust.safety_number import half_of
from fsd.auth import recovery_codes
from fsd.auth.otp import OtpSetting, normalise_code
from fsproto import crypto, labels
from fsproto.errors import FsError, InvalidNameError
from fsproto.names import check_new_name, clean_name, is_assigned, is_user
from fsproto.types import Hash
from tests.support import reference
from tests.vectors import Vector
from tests.vectors.cases import bad, good, named_error, octets

_LABELS = {
    "login": labels.SIGN_LOGIN,
    "enroll": labels.SIGN_ENROLL,
    "recover": labels.SIGN_RECOVER,
}


@cache
def _halves(user: str, bundle: Hash) -> tuple[str, str]:
    """Return a half by this implementation and by the reference; both take long."""
    return " ".join(half_of(user, bundle)), reference.safety_half(user, bundle)


@good("safety")
def test_a_safety_number_is_made_of_two_halves(vector: Vector):
    for one in vector["people"]:
        halves = _halves(one["user"], Hash(octets(one, "bundle")))
        assert halves == (one["half"], one["half"])
    assert " ".join(sorted(one["half"] for one in vector["people"])) == vector["number"]


@good("login")
def test_a_login_signs_its_channel_and_its_name(vector: Vector):
    key = crypto.SigningKey(octets(vector, "private"))
    channel, user = octets(vector, "channel_id"), vector["user"].encode()
    signature = key.sign(_LABELS[vector["message"]], channel, user)
    assert (key.public, signature) == (octets(vector, "public"), octets(vector, "signature"))
    signed = f"fs/2 {vector['message']}".encode() + channel + user
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, signed)


@good("otp", lambda vector: "code" in vector)
def test_a_one_time_password_follows_from_secret_and_time(vector: Vector):
    secret, time_s = vector["secret"], vector["time_s"]
    setting = OtpSetting(secret, vector["digits"], vector["period"], vector["algorithm"])
    assert setting.code(setting.step(time_s * 1000)) == vector["code"]
    settings = vector["digits"], vector["period"], vector["algorithm"]
    assert reference.totp(secret, time_s, *settings) == vector["code"]


@good("otp", lambda vector: "typed" in vector)
def test_a_code_is_read_as_people_type_it(vector: Vector):
    assert normalise_code(vector["typed"]) == vector["normal"]
    assert recovery_codes.canonical(vector["normal"]) == vector["recovery_code"]


@good("names", lambda vector: "kept" in vector)
def test_a_name_is_kept_in_nfc(vector: Vector):
    assert clean_name(vector["typed"]) == vector["kept"]
    assert unicodedata.normalize("NFC", vector["typed"]) == vector["kept"]
    assert len(vector["kept"].encode()) == vector["bytes"]
    assert is_assigned(vector["kept"]) == vector["new"]
    if vector["new"]:
        assert check_new_name(vector["kept"]) == vector["kept"]
    else:
        with pytest.raises(InvalidNameError):
            check_new_name(vector["kept"])


@good("names", lambda vector: "user" in vector)
def test_which_names_people_can_have(vector: Vector):
    assert is_user(vector["user"]) == vector["valid"]


@bad("names")
def test_a_name_that_cannot_be_is_refused(vector: Vector):
    with pytest.raises(FsError) as refused:
        clean_name(vector["typed"])
    assert type(refused.value) is named_error(vector)

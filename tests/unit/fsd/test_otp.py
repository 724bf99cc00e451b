"""Codes of RFC 6238, and the ways in which people type them."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsd.auth.otp import OtpSetting, matching_step, new_secret, normalise_code
from fsproto.errors import UsageError

SECRETS = {
    "SHA1": b"12345678901234567890",
    "SHA256": b"12345678901234567890123456789012",
    "SHA512": b"1234567890" * 6 + b"1234",
}
# RFC 6238, appendix B, with the secrets of its reference implementation.
VECTORS = [
    (59, "SHA1", "94287082"),
    (59, "SHA256", "46119246"),
    (59, "SHA512", "90693936"),
    (1111111109, "SHA1", "07081804"),
    (1111111109, "SHA256", "68084774"),
    (1111111109, "SHA512", "25091201"),
    (1111111111, "SHA1", "14050471"),
    (1111111111, "SHA256", "67062674"),
    (1111111111, "SHA512", "99943326"),
    (1234567890, "SHA1", "89005924"),
    (1234567890, "SHA256", "91819424"),
    (1234567890, "SHA512", "93441116"),
    (2000000000, "SHA1", "69279037"),
    (2000000000, "SHA256", "90698825"),
    (2000000000, "SHA512", "38618901"),
    (20000000000, "SHA1", "65353130"),
    (20000000000, "SHA256", "77737706"),
    (20000000000, "SHA512", "47863826"),
]
NOW_MS = 1_111_111_109_000


def setting(algorithm: str = "SHA1", digits: int = 8, period: int = 30) -> OtpSetting:
    return OtpSetting(base64.b32encode(SECRETS[algorithm]).decode(), digits, period, algorithm)


@pytest.mark.parametrize(("at_s", "algorithm", "code"), VECTORS)
def test_codes_are_those_of_rfc_6238(at_s, algorithm, code):
    otp = setting(algorithm)
    step = otp.step(at_s * 1000)
    assert otp.code(step) == code
    assert matching_step(otp, code, at_s * 1000) == step


def test_a_code_of_six_or_seven_digits_is_the_end_of_the_one_of_eight():
    assert setting(digits=6).code(1) == "287082"
    assert setting(digits=7).code(1) == "4287082"


def test_a_clock_may_be_at_most_one_step_early_or_late():
    otp = setting()
    now = otp.step(NOW_MS)
    found = [matching_step(otp, otp.code(now + drift), NOW_MS) for drift in range(-3, 4)]
    assert found == [None, None, now - 1, now, now + 1, None, None]


@pytest.mark.parametrize("period", [15, 30, 60, 120])
def test_a_step_lasts_as_long_as_the_period_says(period):
    otp = setting(period=period)
    first = otp.step(NOW_MS) * period * 1000
    assert otp.step(first) == otp.step(first + period * 1000 - 1) == otp.step(first - 1) + 1


@pytest.mark.parametrize(
    "typed",
    [
        "0708 1804",
        " 07081804 ",
        "07081804\n",
        "07081804\r\n",
        "070-818-04",
        "0708.1804",
        "0708'1804",
        "0708\u00a01804",
        "0708\u202f1804",
        "\ufeff0708\u200b1804",
        "０７０８１８０４",  # noqa: RUF001 - full-width, as an input method may type them
        "٠٧٠٨١٨٠٤",
    ],
)
def test_what_people_type_between_and_around_the_digits_does_not_matter(typed):
    assert normalise_code(typed) == "07081804"
    assert matching_step(setting(), typed, NOW_MS) == setting().step(NOW_MS)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "7081804",
        "007081804",
        "07081805",
        "0708180x",
        "+07081804",
        "0708180\u2463",
        "0x6C0B6C",
        "07081804\0",
        "\ud800",
        "0708" + " " * 1_000_000 + "1804",
        "9" * 1_000_000,
    ],
)
def test_anything_else_is_no_code(typed):
    assert matching_step(setting(), typed, NOW_MS) is None


@given(st.text(max_size=80))
def test_no_text_whatever_is_an_error(typed):
    assert matching_step(setting(), typed, NOW_MS) is None or normalise_code(typed).isascii()


@pytest.mark.parametrize(
    "wrong", [{"digits": 5}, {"digits": 9}, {"period": 14}, {"period": 121}, {"algorithm": "MD5"}]
)
def test_a_setting_that_apps_do_not_know_is_refused(wrong):
    with pytest.raises(UsageError):
        OtpSetting("A" * 32, **wrong)


def test_a_secret_is_160_random_bits_and_stays_out_of_reprs():
    secrets = {new_secret() for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(base64.b32decode(secret)) == 20 for secret in secrets)
    secret = secrets.pop()
    assert secret not in repr(OtpSetting(secret))


def test_the_uri_holds_everything_an_app_needs():
    uri = urlsplit(setting("SHA256", digits=8, period=15).uri("alice", "our files & more"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert uri.path == "/our%20files%20%26%20more:alice"
    assert parse_qs(uri.query) == {
        "secret": [base64.b32encode(SECRETS["SHA256"]).decode()],
        "issuer": ["our files & more"],
        "algorithm": ["SHA256"],
        "digits": ["8"],
        "period": ["15"],
    }

"""Secret files as fsadmin, authenticator apps and password managers write them."""

from __future__ import annotations

import contextlib
import hashlib
import random
from urllib.parse import quote

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.session.otp_secret import read_secret
from fsd.auth.otp import OtpSetting
from fsproto.errors import UsageError

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
URI = f"otpauth://totp/fsd:alice?secret={SECRET}&issuer=fsd"
AT = 1_700_000_000
PLAIN = pyotp.TOTP(SECRET)
LONG = pyotp.TOTP(SECRET, digits=8, digest=hashlib.sha256, interval=60)


def code_of(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return read_secret(data, "'secret'").at(AT)


@pytest.mark.parametrize(
    "content",
    [
        SECRET.lower(),
        f"\n\n  {SECRET}\r\n",
        f"{SECRET[:16]}\r\n{SECRET[16:]}\r\n",
        " ".join(SECRET[i : i + 4] for i in range(0, 32, 4)).lower(),
        "-".join(SECRET[i : i + 4] for i in range(0, 32, 4)),
        f"{SECRET[:8]}\u00a0{SECRET[8:]}\u200b",
        f"{SECRET}======",
        f"\ufeff{SECRET}",
        SECRET.encode("utf-16"),
        f"# fsd, alice\n{SECRET}\n",
    ],
)
def test_a_secret_in_base32_however_it_is_grouped_and_encoded(content):
    assert code_of(content) == PLAIN.at(AT)


@pytest.mark.parametrize(
    "content",
    [
        f"otpauth://totp/alice?secret={SECRET}",
        f"otpauth://totp/?secret={SECRET}",
        f"otpauth://totp?secret={SECRET}",
        f"otpauth://totp/Work:alice?secret={SECRET}&issuer=fsd",
        f"otpauth://totp/My%20Work%3Aalice?issuer=My+Work&secret={SECRET.lower()}",
        f"otpauth://totp/My Work: alice?secret={SECRET}&issuer=My Work",
        f"otpauth://totp/Work #1:alice?secret={SECRET}&issuer=Work #1",
        f"otpauth://totp/who?:alice?secret={SECRET}",
        f"otpauth://totp/a?issuer=a#b&secret={SECRET}#fragment",
        f"otpauth://totp/a%26b:alice?issuer=a%26secret%3Dx&secret={SECRET}",
        f"OTPAUTH://TOTP/alice?SECRET={SECRET}&DIGITS=6",
        f"otpauth:totp/alice?secret={SECRET}",
        f"otpauth://totp/a?secret={SECRET}%3D%3D%3D%3D%3D%3D",
        f"otpauth://totp/a?secret={SECRET}======&digits=6",
        f"otpauth://totp/a?secret={quote(SECRET[:4] + ' ' + SECRET[4:])}&digits=",
        f"otpauth://totp/a?secret={SECRET[:4]}+{SECRET[4:8]}-{SECRET[8:]}",
        f"otpauth://totp/a?secret={SECRET}&amp;digits=6&amp;period=30",
        f"otpauth://totp/a?secret={SECRET}&image=https%3A%2F%2Fx%2Fy.png&color=%23ff0000&counter=7",
        f"otpauth://totp/a?secret={SECRET}&algorithm=sha1&digits=06",
        f"otpauth://totp/a?secret={SECRET}&algorithm=HmacSHA1&secret={SECRET}",
        f"otpauth://totp/a?algorithm=SHA-1&secret={SECRET}&lock=false",
        f"\ufeff{URI}\r\n",
        f"{URI}\n".encode("utf-16"),
        f'"{URI}"\n',
        f"'{URI}'\n",
        f"{URI[:50]}\r\n{URI[50:]}\r\n",
        f"correct horse\nlogin: alice\nurl: https://files.example.org\n{URI}\n",
        f"{URI}\n# the old one\n",
        f"{URI}\n{URI}\n",
        f"User    alice\nSecret  {SECRET}\nURI     {URI}\nLink    fs://alice@host/?host-key=x\n",
        f'{{"secret": "{SECRET}", "otpauth_uri": "{URI}", "enroll_link": "fs://alice@h/?k=x"}}',
    ],
)
def test_a_uri_whatever_its_label_issuer_encoding_and_neighbours(content):
    assert code_of(content) == PLAIN.at(AT)


@pytest.mark.parametrize(
    "algorithm", ["SHA256", "sha-256", "HmacSHA256", "HMAC-SHA256", "sha%5F256"]
)
def test_a_uri_with_other_digits_period_and_algorithm(algorithm):
    content = f"otpauth://totp/a?period=60&secret={SECRET}&digits=8&algorithm={algorithm}"
    assert code_of(content) == LONG.at(AT)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *(("", "no one-time password"), ("\n\r\n", "no one-time password")),
        *(("pass!word", "no one-time password"), (f"{SECRET}1", "no one-time password")),
        *((b"\xff\xfe", "no one-time password"), (bytes(40), "no one-time password")),
        (bytes(range(0x80, 0x87)) + b"\xff", "no one-time password"),
        ("otpauth://totp/alice?issuer=fsd", "no one-time password"),
        ("otpauth://totp/alice?secret=", "no one-time password"),
        (f"otpauth://totp/alice?secret={SECRET[:9]}%3D{SECRET[9:]}", "no one-time password"),
        (f"otpauth://hotp/alice?secret={SECRET}&counter=1", "counted codes"),
        (f"otpauth://steam/alice?secret={SECRET}", "codes of digits"),
        (f"otpauth://totp/alice?secret={SECRET}&encoder=steam", "codes of digits"),
        (f"otpauth://totp/a?secret={SECRET}&digits=5", "'digits=5', .* 6 to 8"),
        (f"otpauth://totp/a?secret={SECRET}&digits=six", "'digits=six'"),
        (f"otpauth://totp/a?secret={SECRET}&digits=٦", "'digits=٦'"),
        (f"otpauth://totp/a?secret={SECRET}&period=0", "'period=0', .* 15 to 120"),
        (f"otpauth://totp/a?secret={SECRET}&period=-30", "'period=-30'"),
        (f"otpauth://totp/a?secret={SECRET}&period={'9' * 5000}", "'period=9{20}'"),
        (f"otpauth://totp/a?secret={SECRET}&algorithm=MD5", "'algorithm=MD5', .*SHA1"),
        (f"otpauth://totp/a?secret={SECRET}&algorithm=%1b[2J", r"'algorithm=\\u001b"),
        (f"otpauth://totp/a?secret={SECRET}&secret={SECRET[1:]}A", "twice.*'secret'"),
        (f"{URI}\n{URI.replace('alice', 'zoe')}\n", "several otpauth URIs"),
        ("otpauth-migration://offline?data=CjEKCkhlbGxv", "Google Authenticator"),
    ],
)
def test_anything_else_is_refused_with_the_reason(content, said):
    with pytest.raises(UsageError, match=said) as refused:
        code_of(content)
    assert SECRET not in f"{refused.value.sentence} {refused.value.hint}"


@given(
    digits=st.sampled_from([6, 7, 8]),
    period=st.integers(15, 120),
    algorithm=st.sampled_from(["SHA1", "SHA256", "SHA512"]),
    issuer=st.text(min_size=1, max_size=64).filter(lambda text: ":" not in text),
    seed=st.integers(0),
)
def test_every_uri_that_fsadmin_prints_gives_the_codes_that_fsd_computes(
    digits, period, algorithm, issuer, seed
):
    secret = "".join(random.Random(seed).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=32))
    setting = OtpSetting(secret, digits, period, algorithm)
    uri = setting.uri("alice.b-c", issuer)
    assert code_of(uri) == setting.code(AT // period)
    assert code_of(f"\ufeff{uri}\r\n") == setting.code(AT // period)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"otpauth:{text}".encode()))
def test_no_content_makes_anything_but_a_sentence(data):
    with contextlib.suppress(UsageError):
        read_secret(data, "'secret'").now()

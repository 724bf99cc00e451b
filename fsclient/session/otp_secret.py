"""Secrets of one-time passwords, as files hold them: Base32, or an otpauth URI.

Authenticator apps read this URI from a QR code, and password managers export it
(https://github.com/google/google-authenticator/wiki/Key-Uri-Format). The programs write it in
different ways. A code does not depend on the label, the issuer and other parameters.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from fsproto.errors import UsageError
from fsproto.limits import OTP_DIGITS, OTP_PERIODS_S
from fsproto.names import for_terminal

if TYPE_CHECKING:
    import pyotp

_URI = re.compile(r"otpauth:[^\"<>]*", re.IGNORECASE)
_MIGRATION = "otpauth-migration:"
_KIND = re.compile(r"otpauth:/*([A-Za-z]*)", re.IGNORECASE)
_PARAMETER = re.compile(r"[?&](?:amp;)?([A-Za-z]+)=([^&#]*)")
"""Found wherever it is: some programs write `?` and `#` into a label as they are."""
_DIGESTS: dict[str, Callable[..., Any]] = {
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
}
_LONGEST_SHOWN = 20
_WANTED = "It is the secret in Base32, or the otpauth URI, as fsadmin printed them."
_ONE_AT_A_TIME = "Put the otpauth URI of this one account into the file."


def read_secret(data: bytes, what: str) -> pyotp.TOTP:
    """Return the maker of codes for the content of a secret file; `what` names it in errors.

    `UsageError` if the content is no secret of one-time passwords that a server of ours can have.
    """
    import pyotp

    lines = _lines(data)
    uri = _uri(lines, what)
    given = _parameters(uri, what) if uri else {"secret": "".join(lines)}
    secret = _base32(given.get("secret", ""))
    digits = _number(given, "digits", 6, OTP_DIGITS, what)
    period = _number(given, "period", 30, OTP_PERIODS_S, what)
    algorithm = re.sub(r"^HMAC|[^A-Z0-9]", "", given.get("algorithm", "SHA1").upper())
    if algorithm not in _DIGESTS:
        raise _wrong(given, "algorithm", ", ".join(_DIGESTS), what)
    try:
        return pyotp.TOTP(secret, digits=digits, digest=_DIGESTS[algorithm], interval=period)
    except (ValueError, TypeError):  # no Base32, or less than 112 bits
        raise UsageError(f"{what} holds no one-time password secret.", hint=_WANTED) from None


def _lines(data: bytes) -> list[str]:
    """Return the lines of a file that are neither blank nor comments.

    Windows programs start it with a byte order mark, or write UTF-16.
    """
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if utf_16 else "utf-8-sig", errors="replace")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _uri(lines: list[str], what: str) -> str | None:
    """Return the otpauth URI in a file; None if it has none.

    It may be wrapped, or be one line among others, as in the files of `pass`.
    """
    starts = [found[0] for line in lines if (found := _URI.search(line))]
    if not starts:
        if any(line.lower().startswith(_MIGRATION) for line in lines):
            raise UsageError(
                f"{what} holds an export of several accounts for Google Authenticator.",
                hint=_ONE_AT_A_TIME,
            )
        return None
    if len(set(starts)) > 1:
        raise UsageError(f"{what} holds several otpauth URIs.", hint=_ONE_AT_A_TIME)
    wrapped = lines[0] == starts[0] and not any("://" in line or " " in line for line in lines[1:])
    return "".join(lines) if wrapped else starts[0]


def _parameters(uri: str, what: str) -> dict[str, str]:
    """Return the parameters of an otpauth URI, decoded; those without a value are left out."""
    kind = _KIND.match(uri)
    given: dict[str, str] = {}
    for name, value in _PARAMETER.findall(uri):
        decoded = unquote_plus(value).strip()
        if decoded and given.setdefault(name.lower(), decoded) != decoded:
            raise UsageError(f"{what} says twice, and differently, what '{name}' is.")
    if kind is None or kind[1].lower() != "totp" or "encoder" in given:
        counted = kind is not None and kind[1].lower() == "hotp"
        raise UsageError(
            f"{what} holds a secret for counted codes, not for timed ones."
            if counted
            else f"{what} holds no secret for codes of digits alone, which change with the time."
        )
    return given


def _base32(text: str) -> str:
    """Return a secret without what people and programs put between its characters."""
    kept = (c for c in text if c not in "_." and not _is_separator(unicodedata.category(c)))
    return "".join(kept).rstrip("=").upper()


def _is_separator(category: str) -> bool:
    return category[0] in "ZC" or category == "Pd"  # blanks, invisible characters, dashes


def _number(given: dict[str, str], name: str, default: int, allowed: range, what: str) -> int:
    word = given.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", word) or int(word) not in allowed:
        raise _wrong(given, name, f"{allowed[0]} to {allowed[-1]}", what)
    return int(word)


def _wrong(given: dict[str, str], name: str, allowed: str, what: str) -> UsageError:
    shown = for_terminal(given[name][:_LONGEST_SHOWN])
    return UsageError(f"{what} has '{name}={shown}', but that can only be {allowed}.")

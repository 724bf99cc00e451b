"""Parsing of an account's terms, from the command line or from a line of a CSV file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from fsd.policies import NO_LIMIT
from fsd.services.accounts.terms import AccountTerms, NewValue, clean_note
from fskit.text import ALLOWED_BYTES, MAX_BYTES, parse_size
from fsproto.errors import UsageError
from fsproto.names import for_terminal

F = TypeVar("F", bound=Callable[..., Any])

NONE, DEFAULT = "none", "default"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d\d:\d\d)")
_LONGEST_SHOWN = 80


def terms_options(command: F) -> F:
    """Add the options that set terms; `typed_terms` reads them."""
    options = (
        click.option(
            "--quota-bytes",
            metavar="SIZE",
            help="Quota in sealed bytes: 500M, 10G, 'none' for no limit, "
            "'default' for the value in the settings.",
        ),
        click.option(
            "--quota-files",
            metavar="N",
            help="Quota of files: a number, 'none' or 'default'.",
        ),
        click.option(
            "--expires",
            metavar="DATE",
            help="When the account expires: 2026-12-31 (at 00:00 UTC), "
            "2026-12-31T18:00+01:00, or 'none'.",
        ),
        click.option("--note", metavar="TEXT", help="A note for administrators; '' for none."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def typed_terms(typed: Mapping[str, str | None]) -> AccountTerms:
    """Parse typed values by their names in `READERS`; `UsageError` for the first invalid one.

    A value of None was not given.
    """
    return AccountTerms(**typed_values(typed))


def typed_values(typed: Mapping[str, str | None]) -> dict[str, Any]:
    """Parse typed values into fields of `AccountTerms`."""
    return {name: READERS[name](word) for name, word in typed.items() if word is not None}


def _quota_bytes(word: str) -> NewValue[int | None]:
    if word in (NONE, DEFAULT):
        return NewValue(NO_LIMIT if word == NONE else None)
    try:
        return NewValue(parse_size(word))
    except ValueError:
        raise _refused(word, "a quota of bytes", f"{ALLOWED_BYTES}, 'none', 'default'") from None


def _quota_files(word: str) -> NewValue[int | None]:
    if word in (NONE, DEFAULT):
        return NewValue(NO_LIMIT if word == NONE else None)
    if not (word.isascii() and word.isdecimal()) or int(word[:20]) > MAX_BYTES:
        raise _refused(word, "a quota of files", "a number, 'none', 'default'")
    return NewValue(int(word))


def _expires(word: str) -> NewValue[int | None]:
    if word == NONE:
        return NewValue(None)
    try:
        if _DATE.fullmatch(word):
            when = datetime.fromisoformat(word).replace(tzinfo=UTC)
        elif _TIME.fullmatch(word):
            when = datetime.fromisoformat(word.upper())
        else:
            raise ValueError("another form")
        return NewValue(int(when.timestamp() * 1000))
    except (ValueError, OverflowError):
        allowed = "a date like 2026-12-31, a time with its zone like 2026-12-31T18:00Z, 'none'"
        raise _refused(word, "when an account can expire", allowed) from None


def _refused(word: str, what: str, allowed: str) -> UsageError:
    shown = for_terminal(word[:_LONGEST_SHOWN])
    return UsageError(f"'{shown}' is not {what}; allowed is {allowed}.")


READERS: dict[str, Callable[[str], Any]] = {
    "quota_bytes": _quota_bytes,
    "quota_files": _quota_files,
    "expires_ms": _expires,
    "note": clean_note,
}
"""The parser of each term."""

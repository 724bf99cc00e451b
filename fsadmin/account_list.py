"""The list of accounts: which are shown, in which order, and as what table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from fsadmin import output
from fsadmin.account_view import (
    codes_text,
    note_text,
    number_text,
    of_text,
    size_text_or,
    state_text,
)
from fskit.text import binary_size_text, count_text

if TYPE_CHECKING:
    from fsd.services.accounts.views import AccountView

_HEADERS = ("NAME", "STATE", "USED", "QUOTA", "EXPIRES", "NOTE")
_MORE = ("NAME", "STATE", "CODES", "SESSIONS", "FILES", "USED", "EXPIRES", "FINGERPRINT", "NOTE")
_RIGHT = ("SESSIONS", "FILES", "USED", "QUOTA")
_NEVER_MS = 1 << 63
"""After every date of expiry."""

STATES: dict[str, Callable[[AccountView], bool]] = {
    "enrolled": lambda one: one.enrolled and one.handed_over_to is None,
    "not-enrolled": lambda one: not one.enrolled and one.handed_over_to is None,
    "disabled": lambda one: one.disabled,
    "expired": lambda one: one.expired,
    "locked": lambda one: one.locked_ms is not None,
    "closed": lambda one: one.handed_over_to is not None,
}
"""What `--state` may name; an account can be in several states."""
ORDERS: dict[str, Callable[[AccountView], tuple[object, str]]] = {
    "name": lambda one: (0, one.name),
    "used": lambda one: (-one.used_bytes, one.name),
    "created": lambda one: (-one.created_ms, one.name),
    "expires": lambda one: (one.expires_ms or _NEVER_MS, one.name),
}
"""What `--sort` may name: the largest, newest, or soonest first."""


def chosen(
    accounts: Sequence[AccountView], states: Collection[str], order: str
) -> list[AccountView]:
    """Return the accounts in at least one of these `STATES` (none: all), in one of `ORDERS`."""
    found = [one for one in accounts if not states or any(STATES[name](one) for name in states)]
    return sorted(found, key=ORDERS[order])


def table(accounts: Sequence[AccountView], *, long: bool) -> str:
    """Return a table with a line of totals; without `long`, short names fit in 80 columns."""
    headers = _MORE if long else _HEADERS
    rows = [_long_row(one) if long else _row(one) for one in accounts]
    return f"{output.table(headers, rows, right=_RIGHT)}\n\n{_totals(accounts)}"


def _row(one: AccountView) -> tuple[str, ...]:
    quota = size_text_or(one.quota_bytes) or number_text(one.quota_files, "file") or "-"
    used = binary_size_text(one.used_bytes)
    return one.name, state_text(one), used, quota, _expires(one), note_text(one)


def _long_row(one: AccountView) -> tuple[str, ...]:
    return (
        one.name,
        state_text(one),
        codes_text(one),
        str(one.sessions),
        of_text(str(one.files), number_text(one.quota_files)),
        of_text(binary_size_text(one.used_bytes), size_text_or(one.quota_bytes)),
        _expires(one),
        one.fingerprint or "-",
        note_text(one),
    )


def _expires(one: AccountView) -> str:
    return "-" if one.expires_ms is None else output.day(one.expires_ms)[:10]


def _totals(accounts: Sequence[AccountView]) -> str:
    counts = {name: sum(map(is_in, accounts)) for name, is_in in STATES.items()}
    words = [f"{count} {name.replace('-', ' ')}" for name, count in counts.items() if count]
    used = binary_size_text(sum(one.used_bytes for one in accounts))
    return f"{count_text(len(accounts), 'user')} ({', '.join(words)}), {used} used"

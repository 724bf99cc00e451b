"""Checks of the database: connection, integrity, schema, clock, and the nodes in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from fsadmin.health.nodes import nodes
from fsadmin.health.report import CheckResult, bad, fine, note
from fsd.cluster import registry
from fsd.master_key import open_vault
from fsd.store import schema
from fsd.store.models import UsedOtp
from fsd.store.repos import hooks
from fskit.text import count_text
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsd.home.home import Home
    from fsd.store.engine import Database

_OFF_MS = 1000
_LATE_MS = 3_600_000
_SYNCHRONISE = "let chrony or systemd-timesyncd set the clock: one-time passwords depend on it"


def database(home: Home, used: Database, now_ms: Callable[[], int]) -> Iterator[CheckResult]:
    """Run all database checks; stop at the first failure."""
    try:
        found, head = schema.current(used), schema.head()
        if found is None:
            yield note("database", "The database is empty.", "start fsd, which makes it")
            return
        if not schema.is_known(found):
            yield bad(
                "database",
                "The database was made by a newer version of fsd.",
                "install that version, or put a backup from before the update back",
            )
            return
        if found != head:
            yield note(
                "database",
                f"The database is at revision {found}; this version needs {head}.",
                "fsadmin backup FILE, and restart fsd, which upgrades it",
            )
            return
        yield from _whole(used)
        open_vault(home, used)
        yield from _clocks(used, now_ms)
        yield from _hooks(used, now_ms())
        yield from nodes(used, now_ms())
    except FsError as error:
        yield bad("database", error.sentence, error.hint or "See its log.")


def _whole(used: Database) -> Iterator[CheckResult]:
    kind = used.url.get_backend_name()
    if kind == "sqlite":
        with used.read() as db:
            said = db.scalar(text("PRAGMA quick_check(1)"))
        if said != "ok":
            yield bad(
                "database",
                "The database file is damaged.",
                "stop fsd and put the newest backup back",
            )
            return
    yield fine("database", f"The database ({kind}) answers, and is at {schema.head()}.")


def _hooks(used: Database, now_ms: int) -> Iterator[CheckResult]:
    with used.read() as db:
        late = [one for one in hooks.waiting(db) if one.tries and one.at_ms < now_ms - _LATE_MS]
        if late:
            yield note(
                "hooks",
                f"{count_text(len(late), 'event')} could not be delivered for more than an hour; "
                f"the last error of the {late[0].target}: {late[0].error or 'none'}.",
                "fsadmin hooks shows them, 'fsadmin hooks test' tries; see docs/operations.md",
            )


def _clocks(used: Database, now_ms: Callable[[], int]) -> Iterator[CheckResult]:
    with used.read() as db:
        newest = db.scalar(select(func.max(UsedOtp.used_ms))) or 0
        _, ahead_ms = registry.clocks(db, now_ms)
    now = now_ms()
    if newest > now + registry.MOST_OFF_MS:
        yield bad(
            "clock",
            f"The clock has gone back: a login was {(newest - now) // 1000} s from now.",
            _SYNCHRONISE,
        )
    if used.url.get_backend_name() != "postgresql":
        return
    off = abs(ahead_ms)
    if off > _OFF_MS:
        say = bad if off > registry.MOST_OFF_MS else note
        yield say("clock", f"The database's clock differs by {off} ms.", _SYNCHRONISE)
    else:
        yield fine("clock", "The database's clock agrees with this machine's.")

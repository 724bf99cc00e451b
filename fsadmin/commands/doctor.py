"""The command that checks the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import click

from fsadmin.context import Admin, common_options
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsadmin.health.report import CheckResult

_SIGNS = {"fine": "  ", "note": "? ", "bad": "! "}


@click.command(short_help="Check the server and print advice.")
@common_options
@click.pass_obj
def doctor(admin: Admin) -> int:
    """Check the server and print advice for every finding.

    It checks the configuration, permissions, keys and their age, free disk space, the last
    backup, the database and its schema, the clock, the nodes with their versions and clocks,
    and whether fsd answers with the right host key. Nothing is changed. The content of blobs is
    checked by 'fsadmin check'.

    A line with '!' is an error, one with '?' a warning. The exit status is 1 if there is an
    error, else 0.
    """
    from fsadmin.health.report import CheckState

    found = list(_look(admin))
    admin.answer([_as_json(one) for one in found], lambda: "\n".join(map(_text, found)))
    return int(any(one.state is CheckState.BAD for one in found))


def _look(admin: Admin) -> Iterator[CheckResult]:
    from fsadmin.health import blobs, database, home, system
    from fsadmin.health.report import bad, fine
    from fsd.factory import find_database
    from fskit.clock import now_ms

    check = "fsd --check-config tells more"
    try:
        problems, settings = admin.loaded.problems, admin.loaded.settings
        place, url = settings.home, settings.database
    except FsError as error:
        yield bad("configuration", error.sentence, check)
        return
    for problem in problems:
        yield bad("configuration", problem.sentence, check)
    if not problems:
        yield fine("configuration", "The configuration is in order.")
    if not place.path.is_dir():
        yield bad("home", f"There is no server data in {place.path}.", "start fsd, or give --home")
        return
    admin.act_as_owner(place.path)
    try:
        yield from home.permissions(place)
        yield from home.keys(place, now_ms())
        yield from home.disk(place)
        yield from blobs.blobs(settings.blobs, admin.blobs)
        with closing(find_database(place, url)) as used:
            yield from home.backup(place, used, now_ms())
            yield from database.database(place, used, now_ms)
    except FsError as error:
        yield bad("database", error.sentence, error.hint or check)
    except OSError as error:
        yield bad("home", f"{place.path} cannot be read: {error.strerror}.", "run it as fsd's user")
        return
    yield from system.clock()
    yield from system.port(place)
    yield from system.ssh(place)


def _text(one: CheckResult) -> str:
    line = f"{_SIGNS[one.state.value]}{one.name:13} {one.sentence}"
    return f"{line}\n{'':16}→ {one.advice}" if one.advice else line


def _as_json(one: CheckResult) -> dict[str, str | None]:
    return {
        "name": one.name,
        "state": one.state.value,
        "sentence": one.sentence,
        "advice": one.advice,
    }

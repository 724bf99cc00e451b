"""Commands that move the data of a server to another database or another blob store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from fsadmin.context import Admin, common_options
from fsd.policies import LOCAL_BLOBS
from fskit.text import binary_size_text, count_text
from fsproto.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from fsd.backup.move_database import TableSummary
    from fsd.blobs.migrate import Moved
    from fsd.policies import BlobPolicy


@click.command(short_help="Copy the database from SQLite to PostgreSQL.")
@click.option("--to", "target", metavar="URL", required=True, help="The new, empty database.")
@common_options
@click.pass_obj
def migrate_database(admin: Admin, *, target: str) -> None:
    """Copy all rows of the server's SQLite database into an empty PostgreSQL database.

    Stop fsd first. URL is like the setting 'database':
    postgresql+psycopg://USER@HOST/NAME. Keep the password out of it: PGPASSWORD and
    ~/.pgpass are read. Afterwards, every row of every table is compared. If anything
    fails, the new database is empty again. The old database is not changed.

    Blobs are not moved: see 'fsadmin migrate-blobs'.
    """
    from fsd.backup.move_database import move
    from fsd.store.engine import Database

    home = admin.home
    with home.lock(), home.maintenance(), admin.database_at_head() as source:
        if source.url.get_backend_name() != "sqlite":
            raise UsageError(
                "The database of this server is not SQLite.",
                hint="Copy PostgreSQL databases with pg_dump and pg_restore.",
            )
        with closing(Database(target)) as database:
            if database.url.get_backend_name() == "sqlite":
                raise UsageError(
                    "--to names a SQLite file.",
                    hint="Use 'fsadmin backup' and 'fsadmin restore' for that.",
                )
            done = move(source, database)
            url = database.url.render_as_string(hide_password=True)
        last = home.last_run()
        # Without the new setting, fsd and fsadmin refuse to work on the old database.
        home.note_run(last.get("address", ""), url, last.get("ssh"))
    rows = sum(one.rows for one in done.values())
    admin.answer(
        {
            "database": url,
            "rows": rows,
            "tables": {name: {"rows": one.rows, "sum": one.digest} for name, one in done.items()},
        },
        lambda: _moved(url, rows, done),
    )


@click.command(short_help="Move all blobs from blobs.fallback to blobs.store.")
@common_options
@click.pass_obj
def migrate_blobs(admin: Admin) -> None:
    """Copy all blobs from the store 'blobs.fallback' to the store 'blobs.store'.

    First set blobs.store to the new store and blobs.fallback to the old one ('local' is the
    folder in the data directory), and restart fsd: it writes to the new store and reads from
    both. Where several servers run, add the new store as blobs.fallback first and restart all
    of them; then exchange the two settings and restart all again.

    fsd may keep running, and a run that was interrupted continues when it is repeated. Every blob
    is compared with its root. The old store is not changed. When all blobs are in the
    new store, remove blobs.fallback and restart fsd.
    """
    from fsd.blobs.migrate import copy_all
    from fsd.blobs.two_stores import TwoStores

    stores = admin.blobs()
    if not isinstance(stores, TwoStores):
        raise UsageError(
            "The settings name no second store.",
            hint="Set blobs.store to the new store and blobs.fallback to the old one, and restart "
            "fsd.",
        )
    policy = admin.checked("blobs.").blobs
    with admin.home.maintenance(), admin.database_at_head() as database, _progress() as progress:
        done = copy_all(database, stores, progress)
    admin.answer(
        {
            "store": policy.store or LOCAL_BLOBS,
            "fallback": policy.fallback,
            "blobs": done.blobs,
            "copied": done.copied,
            "copied_bytes": done.copied_bytes,
            "missing": done.missing,
            "damaged": done.damaged,
        },
        lambda: _copied(done, policy),
    )
    lost = len(done.missing) + len(done.damaged)
    if lost:
        raise IntegrityError(
            f"{count_text(lost, 'blob')} could not be moved: missing or damaged.",
            hint="'fsadmin check' lists them. Keep blobs.fallback until that is settled.",
        )


def _copied(done: Moved, policy: BlobPolicy) -> str:
    where = policy.store or "the data directory"
    size = binary_size_text(done.copied_bytes)
    lines = [
        f"Copied {count_text(done.copied, 'blob')} ({size}).",
        f"{where} has {count_text(done.blobs, 'blob')} now.",
    ]
    if not done.missing and not done.damaged:
        lines.append(
            "Remove blobs.fallback from the settings of every fsd and restart it. Then "
            f"{policy.fallback} is no longer used."
        )
    return "\n".join(lines)


@contextmanager
def _progress() -> Iterator[Callable[[int], object]]:
    """Yield a function that counts copied bytes on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    copied = 0

    def show(count: int) -> None:
        nonlocal copied
        copied += count
        click.echo(f"\rCopied {binary_size_text(copied)}\033[K", nl=False, err=True)

    yield show
    click.echo("\r\033[K", nl=False, err=True)


def _moved(url: str, rows: int, done: dict[str, TableSummary]) -> str:
    used = sum(bool(one.rows) for one in done.values())
    return (
        f"Copied and compared {count_text(rows, 'row')} of {count_text(used, 'table')}.\n"
        f'Set database = "{url}" in fsd.toml and start fsd. Keep fsd.db until all works; it is no '
        "longer used."
    )

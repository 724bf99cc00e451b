"""Commands for the database's schema."""

from __future__ import annotations

import click

from fsadmin.context import Admin, common_options, new_home_option


@click.group(short_help="Show or upgrade the schema of the database.")
@common_options
def db() -> None:
    """Show or upgrade the schema of the database."""


@db.command(short_help="Upgrade the schema to this version.")
@new_home_option
@common_options
@click.pass_obj
def upgrade(admin: Admin, *, new_home: bool) -> None:
    """Bring the database to the schema of this version.

    fsd and the commands for users do the same when they start. A current schema is not changed,
    and a schema of a newer version is refused. A downgrade is not possible: make a backup first.
    """
    from fsd.store import schema

    admin.begin(second=new_home)
    with admin.database() as database:
        before = schema.current(database)
        schema.upgrade(database)
        after = schema.current(database)

    def text() -> str:
        if before == after:
            return f"The database was at {after} already, which is what this version needs."
        return f"The database is at {after} now; before it was {_at(before)}."

    admin.answer({"before": before, "current": after, "head": schema.head()}, text)


@db.command(short_help="Show the schema the database has.")
@common_options
@click.pass_obj
def current(admin: Admin) -> None:
    """Show which schema the database has and which one this version needs. Nothing is changed."""
    from fsd.store import schema

    with admin.database() as database:
        found = schema.current(database)
    head = schema.head()
    admin.answer(
        {"current": found, "head": head},
        lambda: f"The database is {_at(found)}; this version needs {head}.",
    )


def _at(revision: str | None) -> str:
    return f"at {revision}" if revision else "empty"

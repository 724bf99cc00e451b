"""The context of every command: data directory, database, and output."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fsadmin import output
from fsd.home.home import Home, HomeError
from fsd.home.owner import act_as_owner
from fsd.home.places import check_first, give_new_to_user, other_home
from fskit.console import Console, confirm, debug_option
from fskit.stdout import ReaderGone
from fsproto.errors import FsError

if TYPE_CHECKING:
    from fsd.audit.admin import AuditAdmin
    from fsd.blobs.base import BlobStore
    from fsd.services.accounts.access import AccessAdmin
    from fsd.services.accounts.groups import GroupAdmin
    from fsd.services.accounts.users import UserAdmin
    from fsd.services.drops.keys import DropKeyAdmin
    from fsd.settings.load import Loaded
    from fsd.settings.model import Settings
    from fsd.store.engine import Database

F = TypeVar("F", bound=Callable[..., Any])


class Admin(Console):
    """One run of `fsadmin`."""

    def __init__(self) -> None:
        """Start without any options."""
        super().__init__("fsadmin")
        self.json = False
        self.home_path: Path | None = None
        self.config_path: Path | None = None
        self.database_option: str | None = None

    @cached_property
    def loaded(self) -> Loaded:
        """The settings of the server, as `fsd` would load them with the same options."""
        from fsd.settings.load import Wanted, load

        options = {} if self.database_option is None else {"database": self.database_option}
        flags = dict.fromkeys(options, "--database")
        return load(Wanted(self.home_path, self.config_path, options, flags, os.environ))

    @property
    def database_url(self) -> str | None:
        """The database URL; None for the file in the data directory."""
        return self.loaded.checked(("home", "database")).database

    @property
    def place(self) -> Home:
        """The data directory, which may not exist yet."""
        return self.loaded.checked(("home", "database")).home

    @cached_property
    def home(self) -> Home:
        """The existing data directory; `HomeError` if it is missing, as the path may be wrong."""
        if not self.place.is_there:
            other = other_home(self.place.path, running=not self.has_chosen_home)
            raise HomeError(
                f"There is no server data in {self.place.path}.",
                hint=f"There is a server in {other}: give --home {other}."
                if other is not None
                else "Give --home or FSD_HOME; fsd or 'add-user' creates a data directory.",
            )
        self.act_as_owner(self.place.path)
        self.place.prepare()
        return self.place

    def begin(self, *, second: bool) -> None:
        """Create a missing data directory: users may be added before the first run of fsd.

        `HomeError` if another server is found on this machine, unless `second` allows another one.
        """
        if self.place.is_there:
            return
        if not second:
            self.check_first(remedy="--new-home")
        give_new_to_user(self.place.path)
        self.act_as_owner(self.place.path)
        self.place.prepare()
        click.echo(f"Created a NEW server in {self.place.path}.", err=True)

    def check_first(self, *, remedy: str) -> None:
        """Raise `HomeError` if the data directory would be the second one on this machine."""
        check_first(self.place, chosen=self.has_chosen_home, remedy=remedy)

    @property
    def has_chosen_home(self) -> bool:
        """Whether the data directory was named, and is not the default one."""
        return "home" in self.loaded.sources

    def act_as_owner(self, home: Path) -> None:
        """Let root work as the owner of the data directory, and say so."""
        actor = self.actor
        name = act_as_owner(home)
        if name is not None:
            self.actor = actor
            click.echo(f"Working as {name}, the owner of {home}.", err=True)

    def checked(self, *sections: str) -> Settings:
        """Return the settings; `BadSettingError` if one in these sections is wrong."""
        from fsd.settings.table import BY_NAME

        return self.loaded.checked([name for name in BY_NAME if name.startswith(sections)])

    @contextmanager
    def people(self) -> Iterator[UserAdmin]:
        """Yield the use cases for users, on a database with the current schema."""
        from fsd import factory

        with self.home.keys(), self.database_at_head() as database:
            settings = self.checked("quota.", "blobs.")
            yield factory.people(self.home, database, self.actor, settings.quota, settings.blobs)

    def blobs(self) -> BlobStore:
        """Return the blob store; `BadSettingError` if it cannot be used."""
        from fsd.blobs.opening import check_store, open_store
        from fsd.cluster.export import server_name

        store = open_store(self.home.blobs, self.checked("blobs.").blobs)
        check_store(store, server_name(self.home))
        return store

    @contextmanager
    def database_at_head(self) -> Iterator[Database]:
        """Yield the database, upgraded to this version's schema."""
        from fsd import factory

        database = factory.open_server(self.home, self.database_url)
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def access(self) -> Iterator[AccessAdmin]:
        """Yield the use cases for logins, on a database with the current schema."""
        from fsd import factory

        with self.home.keys(), self.database_at_head() as database:
            yield factory.access(self.home, database, self.actor)

    @contextmanager
    def groups(self) -> Iterator[GroupAdmin]:
        """Yield the use cases for groups, on a database with the current schema."""
        from fsd import factory

        with self.home.keys(), self.database_at_head() as database:
            yield factory.groups(self.home, database, self.actor)

    @contextmanager
    def drop_keys(self) -> Iterator[DropKeyAdmin]:
        """Yield the use cases for drop keys, on a database with the current schema."""
        from fsd import factory

        with self.home.keys(), self.database_at_head() as database:
            yield factory.drop_keys(self.home, database, self.actor)

    @contextmanager
    def audit(self, *, moves: bool = False) -> Iterator[AuditAdmin]:
        """Yield the audit log of a database with the current schema.

        `moves`: entries are moved out of it, and hooks must have them before.
        """
        from fsd import factory

        hooks = self.checked("hooks.").hooks if moves else None
        with self.home.keys(), self.database_at_head() as database:
            yield factory.audit_keeper(self.home, database, self.actor, hooks)

    @cached_property
    def actor(self) -> str:
        """The acting user for the audit log: the user who ran sudo, if any."""
        try:
            name = os.environ.get("SUDO_USER") or getpass.getuser()
        except (OSError, KeyError, ImportError):  # a user without a name, or without an entry
            name = str(os.getuid()) if hasattr(os, "getuid") else "?"
        return f"fsadmin:{name[:64]}"

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Yield the database without an upgrade."""
        from fsd import factory

        database = factory.find_database(self.home, self.database_url)
        try:
            yield database
        finally:
            database.close()

    def answer(self, value: object, text: Callable[[], str]) -> None:
        """Print one JSON value, or the text from `text` for people."""
        click.echo(output.as_json(value) if self.json else text())

    def complain(self, error: FsError) -> None:
        """Report an error on stderr, and with `--json` also on stdout."""
        super().complain(error)
        if self.json:
            told: dict[str, object] = {"error": error.code, "message": error.sentence}
            told |= {"hint": error.hint} | ({"details": error.details} if error.details else {})
            with suppress(OSError, FsError, ReaderGone):  # the error may be about stdout
                click.echo(output.as_json(told))

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask on the terminal, unless the answer was given with `--yes`.

        `UsageError` where there is no terminal to ask on; `NotConfirmedError` for a no.
        """
        confirm(
            question,
            yes=yes,
            can_ask=lambda: sys.stdin is not None and sys.stdin.isatty(),
            ask=lambda question: click.confirm(question, err=True),
        )


def _turn_on_json(context: click.Context, _: click.Parameter, on: bool) -> None:  # noqa: FBT001
    admin = context.find_object(Admin)
    if on and admin is not None:
        admin.json = True


def common_options(command: F) -> F:
    """Add `--json` and `--debug`, which are valid before and after a command's name."""
    json = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_turn_on_json,
        help="Print results as JSON.",
    )
    return json(debug_option(command))


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
new_home_option = click.option(
    "--new-home",
    is_flag=True,
    help="Create a second server even if there is one on this machine.",
)

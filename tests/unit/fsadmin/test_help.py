"""Help texts and man pages show their examples as they are written."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import click
import pytest

from fsadmin.commands.man import page
from fsproto.errors import UsageError

PROGRAMS = {"fsd": "command", "fsadmin": "command", "fsclient": "cli"}


def helps(command: click.Command, above: click.Context | None, name: str) -> Iterator[str]:
    """Yield the help of a command and of each command below it."""
    context = click.Context(command, info_name=name, parent=above, max_content_width=100)
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from helps(found, context, child)


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_help_shows_a_control_sequence(program: str) -> None:
    top = getattr(importlib.import_module(f"{program}.cli"), PROGRAMS[program])
    for text in helps(top, None, program):
        assert "\\b" not in text
        assert "\b" not in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_man_page_shows_a_control_sequence(program: str) -> None:
    assert "\\eb\n" not in page(program)
    assert "\b" not in page(program)


def test_commands_in_a_help_have_lines_of_their_own() -> None:
    top = importlib.import_module("fsadmin.cli").command
    text = "\n".join(helps(top, None, "fsadmin"))
    for line in (
        "fsadmin print-unit > /etc/systemd/system/fsd.service",
        "fsadmin print-man fsd | man -l -",
        "fish:  fsadmin completion fish > ~/.config/fish/conf.d/fs.fish",
    ):
        assert line in [shown.strip() for shown in text.splitlines()]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("user-add", "add-user"),
        ("users-list", "list-users"),
        ("adduser", "add-user"),
        ("Add-User", "add-user"),
        ("list-user", "list-users"),
        ("backups", "backup"),
        ("secret-rotate", "rotate-secret"),
        ("userdel", "remove-user"),
        ("logs", "audit"),
    ],
)
def test_an_unknown_command_suggests_the_one_that_was_meant(typed: str, meant: str) -> None:
    top = importlib.import_module("fsadmin.cli").command
    with pytest.raises(UsageError) as refusal:
        top.resolve_command(click.Context(top), [typed])
    assert refusal.value.hint == f"Did you mean '{meant}'?"


def test_every_suggested_command_exists() -> None:
    cli = importlib.import_module("fsadmin.cli")
    assert set(cli._ELSEWHERE.values()) <= set(cli.command.commands)
    assert not set(cli._ELSEWHERE) & set(cli.command.commands)
    with pytest.raises(UsageError, match="There is no command 'xyzzy'") as refusal:
        cli.command.resolve_command(click.Context(cli.command), ["xyzzy"])
    assert refusal.value.hint == "'fsadmin --help' lists them."

"""Local paths as options: none of any program takes an empty text for the current folder."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

import fsadmin.cli
import fsclient.cli
import fsd.cli
from fskit.local_paths import LocalPath

PROGRAMS = {"fsd": fsd.cli.command, "fsadmin": fsadmin.cli.command, "fsclient": fsclient.cli.cli}


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _commands(child)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_path_of_every_command_has_the_type_that_refuses_an_empty_one(program):
    paths = [
        param
        for command in _commands(PROGRAMS[program])
        for param in command.params
        if isinstance(param.type, click.Path)
    ]
    assert paths
    for param in paths:
        assert isinstance(param.type, LocalPath), param.name


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("option", ["--home", "--config"])
def test_an_option_from_an_empty_variable_does_not_mean_the_current_folder(program, option):
    if program == "fsclient":
        option = {"--config": "--otp-secret-file"}.get(option, option)
    with pytest.raises(click.BadParameter, match="An empty path names nothing"):
        PROGRAMS[program].make_context(program, [option, "", "status"])

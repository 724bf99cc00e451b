"""Man pages, made from the programs' help texts."""

from __future__ import annotations

import importlib
import inspect
import re

import click

from fskit.console import debug_option
from fsproto import __version__

_PROGRAMS = {
    "fsd": ("fsd.cli", "command", 8, "serve sealed files to a team"),
    "fsadmin": ("fsadmin.cli", "command", 8, "manage the users of an fsd server"),
    "fsclient": ("fsclient.cli", "cli", 1, "keep files on a server that cannot read them"),
}
_FILES = r"""
.SH FILES
.TP
.I HOME/fsd.toml
Settings; see docs/configuration.md.
.TP
.I HOME/host.key, HOME/host.moves, HOME/master.key
The host key, which clients pin; statements by former host keys; the key that seals the stored
one\-time password secrets.
.TP
.I HOME/ssh_host_ed25519_key, HOME/ssh_host_rsa_key
Host keys of the SSH listener, in the format of OpenSSH.
.TP
.I HOME/fsd.db, HOME/blobs
The database, if it is an SQLite file, and the sealed blobs.
.SH SEE ALSO
.BR fsd (8),
.BR fsadmin (8),
.BR fsclient (1)
"""


@click.command("print-man", short_help="Print the man page of one of the programs.")
@click.argument("program", type=click.Choice(list(_PROGRAMS)))
@debug_option
def print_man(*, program: str) -> None:
    """Print the man page of fsd, fsadmin or fsclient.

    \b
        fsadmin print-man fsd | man -l -
        fsadmin print-man fsd > /usr/local/share/man/man8/fsd.8
    """  # noqa: D301 - click looks for the character \b
    click.echo(page(program))


def page(program: str) -> str:
    """Return a program's man page in roff."""
    module, name, section, what = _PROGRAMS[program]
    command: click.Command = getattr(importlib.import_module(module), name)
    context = click.Context(command, info_name=program)
    parts = [
        f'.TH {program.upper()} {section} "" "{program} {__version__}" ""',
        ".SH NAME",
        f"{program} \\- {_plain(what)}",
        ".SH SYNOPSIS",
        f".B {program}\n{_plain(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION",
        _prose(command.help or ""),
        ".SH OPTIONS",
        _options(command, context),
    ]
    if isinstance(command, click.Group):
        parts.append(".SH COMMANDS")
        for child in command.list_commands(context):
            parts += _command(command, child, context)
    if command.epilog:
        parts += [".SH NOTES", _prose(command.epilog)]
    return "\n".join([*parts, _FILES.strip()])


def _command(group: click.Group, name: str, above: click.Context) -> list[str]:
    command = group.get_command(above, name)
    if command is None or command.hidden:
        return []
    context = click.Context(command, info_name=name, parent=above)
    usage = " ".join(command.collect_usage_pieces(context))
    path = context.command_path.partition(" ")[2]
    parts = [f".SS {_plain(f'{path} {usage}')}", _prose(command.help or "")]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            parts += _command(command, child, context)
    else:
        parts.append(_options(command, context))
    return parts


def _options(command: click.Command, context: click.Context) -> str:
    records = (param.get_help_record(context) for param in command.get_params(context))
    return "\n".join(f".TP\n.B {_plain(r[0])}\n{_plain(r[1])}" for r in records if r)


def _prose(text: str) -> str:
    """Convert the paragraphs of a help text to roff; preserve preformatted ones."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = paragraph.split("\n")
        if lines[0] == "\b" or all(line.startswith("    ") for line in lines):
            kept = [line for line in lines if line != "\b"]
            parts.append("\n".join([".PP", ".nf", *(_plain(line) for line in kept), ".fi"]))
        else:
            parts.append(".PP\n" + _plain(" ".join(line.strip() for line in lines)))
    return "\n".join(parts)


def _plain(text: str) -> str:
    """Escape characters that are special in roff."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    escaped = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in escaped)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped

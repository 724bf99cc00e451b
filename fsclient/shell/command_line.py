"""Completion of remote paths, people and groups on the command line of bash, zsh and fish.

It uses a session that is running already, asks nothing and prints no error. Asking the server takes
at most `_LIMIT_S`; commands and options need no server, so they are completed however slow the
machine is.
Warnings of the server are kept for the next command, because the server sends each only once.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from fsclient.app import App
from fsclient.connection.retry import Timeouts
from fsclient.shell.remote_names import group_names, people_names, remote_names

_LIMIT_S = 0.8
_PATIENCE = Timeouts(connect_s=_LIMIT_S, via_s=_LIMIT_S, silence_s=_LIMIT_S, frame_s=_LIMIT_S)


def start() -> App:
    """Return the context of a completion."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    app = App(_PATIENCE)
    app.options.unattended = app.options.quiet = app.options.defers_warnings = True
    return app


def add_to(command: click.Command) -> None:
    """Let the arguments of a command complete what their metavars name."""
    for param in command.params:
        if not isinstance(param, click.Argument):
            continue
        metavar = param.metavar or param.name or ""
        if metavar.startswith("LOCAL"):
            param.type = click.Path()
        elif "REMOTE" in metavar or metavar == "OWNER:NAME":
            param.type = _Completed(_paths)
        elif metavar.startswith("USER") or param.name == "user":
            param.type = _Completed(_people)


class _Completed(click.types.StringParamType):
    """A text that is completed with names of the server."""

    def __init__(self, names: Callable[[App, str], list[str]]) -> None:
        self._names = names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that start with `incomplete`; none without a session to use."""
        app = ctx.ensure_object(App)
        if app.profile.via() or app.options.via:  # that program could ask for a password
            return []
        limit = threading.Timer(_LIMIT_S, os._exit, (0,))
        limit.daemon = True
        limit.start()
        names = self._names(app, incomplete)
        limit.cancel()
        return [CompletionItem(one) for one in names]

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - as in click
        """Return the text."""
        return value


def _paths(app: App, incomplete: str) -> list[str]:
    owner = _owner_before_colon()
    found = _below(app, owner + incomplete)
    while len(found) == 1 and found[0].endswith(("/", ":")):  # a shell adds a blank after it
        inside = _below(app, found[0])
        if not inside:
            break
        found = inside
    return [_escaped(one.removeprefix(owner)) for one in found]


def _below(app: App, typed: str) -> list[str]:
    folder, slash, start = typed.rpartition("/")
    if not slash:
        folder, slash, start = typed.rpartition(":")
    above = folder + slash
    return [above + name for name in remote_names(app, above) if name.startswith(start)]


def _people(app: App, incomplete: str) -> list[str]:
    if incomplete.startswith("@"):
        names = [f"@{group}" for group in group_names(app)]
    else:
        names = people_names(app)
    return [_escaped(one) for one in names if one.startswith(incomplete)]


def _is_bash() -> bool:
    return os.environ.get("_FSCLIENT_COMPLETE", "").startswith("bash")


def _owner_before_colon() -> str:
    """Return `OWNER:` if bash, which ends words at colons, has cut it off the typed word."""
    words, at = os.environ.get("COMP_WORDS", "").split(), os.environ.get("COMP_CWORD", "")
    if not _is_bash() or not at.isdecimal():
        return ""
    number = int(at)
    colon = number if words[number : number + 1] == [":"] else number - 1
    return f"{words[colon - 1]}:" if colon >= 1 and words[colon : colon + 1] == [":"] else ""


def _escaped(word: str) -> str:
    """Return a word as it is typed: bash inserts it as it is, zsh and fish quote it themselves."""
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", word) if _is_bash() else word

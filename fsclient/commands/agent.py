"""`fsclient agent`."""

from __future__ import annotations

import os

import click

from fsclient.agent.client import NoAgentError, ask
from fsclient.agent.messages import Lock, State, Stop
from fsclient.agent.place import SOCKET, agent_folder
from fsclient.agent.start import clear_away, serve, show, start
from fsclient.app import App
from fskit.clock import now_ms
from fskit.text import duration_text, parse_moment

_LEAST_S, _MOST_S = 60, 7 * 86_400
_DEFAULT = "12h"
_ALLOWED = "a time like 30m, 8h or 2d, from 1 minute to 7 days"
_NONE = "No agent is running."
EXAMPLES = """\b
Examples:
  fsclient agent start              keys stay for 12 hours
  fsclient agent start --for 1h
  fsclient agent lock               when you leave the machine
  fsclient agent stop
"""


class HoldType(click.ParamType[int]):
    """How long a key is kept, as typed: `8h`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return seconds; a usage error for another text, and beyond the limits."""
        try:
            seconds = value if isinstance(value, int) else -round(parse_moment(str(value), 0))
        except ValueError:
            seconds = 0
        if not _LEAST_S <= seconds <= _MOST_S:
            self.fail(f"'{value}' is not {_ALLOWED}.", param, ctx)
        return seconds


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Type the passphrase of your keys once, and not for each command.

    The agent is a process of yours in the background. After you type the passphrase for a
    command, it keeps in memory, and never on disk, what the passphrase opens the identity with;
    later commands ask it first. It wipes that after a time, after the machine was suspended,
    with 'lock', and when the identity file changes. While it keeps it, every program that runs
    as you can use your keys.

    'keys export', 'keys backup', 'keys passphrase' and 'keys rotate' ask for the passphrase all
    the same.
    """


@command.command("start", short_help="Start the agent, unless it runs already.")
@click.option(
    "--for",
    "hold_s",
    type=HoldType(),
    default=_DEFAULT,
    show_default=True,
    metavar="TIME",
    help="How long it keeps a key after you type the passphrase.",
)
@click.option("--foreground", is_flag=True, help="Stay in this terminal or service.")
@click.pass_obj
def start_(app: App, hold_s: int, *, foreground: bool) -> None:
    """Start the agent, unless it runs already.

    There is one agent for all your profiles. It runs until 'fsclient agent stop', or until the
    end of your last login where the system has a folder for sockets (XDG_RUNTIME_DIR).
    """
    home = app.profile.home
    if foreground:
        new = State(os.getpid(), hold_s, [])
        serve(home, hold_s, lambda: _show(app, new))
        return
    state, is_new = start(home, hold_s)
    if not is_new:
        app.ui.say("The agent runs already.")
        if state.hold_s != hold_s and _was_given("hold_s"):
            kept = duration_text(state.hold_s)
            app.ui.warn(f"It keeps a key for {kept}; to change that, stop and start it.")
    _show(app, state)


@command.command("status", short_help="Show whether the agent runs, and what it keeps.")
@click.pass_obj
def status(app: App) -> None:
    """Show whether the agent runs, and of which identity files it keeps keys."""
    try:
        state = show(app.profile.home)
    except NoAgentError:
        app.ui.result({"running": False}, _NONE)
        return
    _show(app, state)


@command.command("lock", short_help="Wipe all keys; the agent keeps running.")
@click.pass_obj
def lock(app: App) -> None:
    """Wipe all keys from memory; the next command asks for the passphrase again."""
    try:
        ask(app.profile.home, Lock())
    except NoAgentError:
        app.ui.result({"running": False}, _NONE)
        return
    app.ui.result({"running": True}, "The agent has wiped all keys.")


@command.command("stop", short_help="Wipe all keys, and end the agent.")
@click.pass_obj
def stop(app: App) -> None:
    """Wipe all keys from memory, and end the agent."""
    home = app.profile.home
    try:
        ask(home, Stop())
    except NoAgentError:
        clear_away(home)
        app.ui.result({"running": False}, _NONE)
        return
    app.ui.result({"running": False}, "The agent has ended.")


def _was_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not click.core.ParameterSource.DEFAULT


def _show(app: App, state: State) -> None:
    now = now_ms()
    socket = str(agent_folder(app.profile.home) / SOCKET)
    files = [(os.fsdecode(one.path), one.left_s) for one in state.files]
    data = {
        "running": True,
        "pid": state.pid,
        "socket": socket,
        "hold_seconds": state.hold_s,
        "keys": [{"file": file, "ends_ms": now + left_s * 1000} for file, left_s in files],
    }
    lines = [
        f"agent   process {state.pid}, at {socket}",
        f"keeps   a key for {duration_text(state.hold_s)} after its passphrase was typed",
    ]
    lines += [f"key     {duration_text(left_s)} left: {file}" for file, left_s in files]
    app.ui.result(data, lines)

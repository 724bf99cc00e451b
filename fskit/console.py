"""Common console behaviour of the programs: options, errors and exit statuses.

An error becomes one sentence on stderr, with a hint if it has one, and the exit status of its class
(`fsproto.errors`). Only `--debug` shows a traceback.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import click

from fskit.local_paths import LocalPath
from fskit.os_errors import NO_MEMORY, lacks_memory
from fskit.stdout import READER_GONE, ReaderGone, discard_stdout, guard_stdout
from fsproto.errors import FsError, Interrupted, UsageError
from fsproto.names import for_terminal

F = TypeVar("F", bound=Callable[..., Any])
_ALIKE = 0.7
"""The least similarity of a word and a suggested command; `clear` must not suggest `leave`."""


class NotConfirmedError(FsError):
    """It was not confirmed; nothing was changed."""

    code = "not-confirmed"


class Console:
    """One run of a program: its name, and whether it shows tracebacks."""

    def __init__(self, program: str) -> None:
        """Take the program's name."""
        self.program = program
        self.debug = False

    def complain(self, error: FsError) -> None:
        """Write an error and its hint to stderr."""
        with contextlib.suppress(OSError):  # the exit status still says it
            for detail in error.details:
                click.echo(for_terminal(detail), err=True)
            click.echo(f"{self.program}: {for_terminal(error.sentence)}", err=True)
            if error.hint:
                click.echo(f"{' ' * len(self.program)}  {for_terminal(error.hint)}", err=True)


def home_option(command: F) -> F:
    """Add `--home`."""
    return click.option(
        "--home",
        type=LocalPath(file_okay=False, readable=False),
        help="Data directory of the server; created if missing.  [env: FSD_HOME]",
    )(command)


def database_option(command: F) -> F:
    """Add `--database`."""
    return click.option(
        "--database",
        metavar="URL",
        help="SQLAlchemy URL of the database.  [env: FSD_DATABASE; default: SQLite file in "
        "the data directory]",
    )(command)


def config_option(command: F) -> F:
    """Add `--config`."""
    return click.option(
        "--config",
        metavar="FILE",
        type=LocalPath(),
        help="Settings file.  [env: FSD_CONFIG; default: fsd.toml in the data directory]",
    )(command)


def set_option(command: F) -> F:
    """Add `--set`."""
    return click.option(
        "--set",
        "settings",
        metavar="NAME=VALUE",
        multiple=True,
        help="Override one setting of the file, for example login.session=8h; repeatable.",
    )(command)


def debug_option(command: F) -> F:
    """Add `--debug`; the command itself does not receive it."""
    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_turn_on_debug,
        help="Show a traceback for errors.",
    )(command)


def _turn_on_debug(context: click.Context, _: click.Parameter, on: bool) -> None:  # noqa: FBT001
    console = context.find_object(Console)
    if on and console is not None:
        console.debug = True


def leave_no_core() -> None:
    """Keep keys out of a core file, where the system has them."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(command: click.Command, console: Console) -> NoReturn:
    """Run a command and end the process with its exit status."""
    leave_no_core()
    guard_stdout()
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    status = _run(command, console)
    try:
        sys.stdout.flush()
    except (FsError, ReaderGone):
        discard_stdout()  # it was reported, unless its reader is gone
    raise SystemExit(status)


def _run(command: click.Command, console: Console) -> int:
    try:
        status = command.main(prog_name=console.program, standalone_mode=False, obj=console)
        sys.stdout.flush()
    except ReaderGone:
        return READER_GONE
    except FsError as error:
        _trace(console)
        console.complain(error)
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return UsageError.exit_status
    except click.ClickException as error:
        console.complain(misused(error))
        return UsageError.exit_status
    except (click.Abort, KeyboardInterrupt):
        return Interrupted.exit_status
    except Exception as error:  # noqa: BLE001 - the last place that can say what happened
        return _unexpected(console, error)
    return status if isinstance(status, int) else 0


def misused(error: click.ClickException) -> UsageError:
    """Return click's message on an invalid command line, in the form of our own messages."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    sentence, hint = error.format_message().strip(), None
    if context is not None:
        usage = " ".join(context.get_usage().split())
        hint = f"{usage}  ('{context.command_path} --help' tells more)"
    ended = sentence.endswith((".", "?", "!", "?)"))
    return UsageError(sentence if ended else f"{sentence}.", hint=hint)


def unknown_command(name: str, known: Mapping[str, str], lists: str) -> UsageError:
    """Return the error for a command that does not exist, with the nearest one as a hint.

    `known` has the commands by the words that suggest them; `lists` is the hint without one.
    """
    import difflib

    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_ALIKE)
    hint = f"Did you mean '{known[near[0]]}'?" if near else lists
    return UsageError(f"There is no command '{for_terminal(name)}'.", hint=hint)


def confirm(
    question: str, *, yes: bool, can_ask: Callable[[], bool], ask: Callable[[str], bool]
) -> None:
    """Ask before an act, unless the answer was given with `--yes`.

    `UsageError` if there is no terminal to ask on; `NotConfirmedError` if `ask` returns False.
    """
    if yes:
        return
    if not can_ask():
        raise UsageError(
            "This must be confirmed, and there is no terminal to ask on.",
            hint="Give --yes if you are sure; nothing was changed.",
        )
    if not ask(question):
        raise NotConfirmedError


def _unexpected(console: Console, error: Exception) -> int:
    _trace(console)
    if lacks_memory(error):
        console.complain(FsError(NO_MEMORY))
        return FsError.exit_status
    # Of most errors only the kind: their words were not written for this and may quote a secret.
    words = error.strerror if isinstance(error, OSError) else None
    console.complain(
        FsError(
            f"Something unexpected went wrong: {words or type(error).__name__}.",
            hint=None if console.debug else "Run it again with --debug to see where.",
        )
    )
    return FsError.exit_status


def _trace(console: Console) -> None:
    if console.debug:
        import traceback

        traceback.print_exc()

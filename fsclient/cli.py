"""The command line: options, the list of commands, and exit statuses.

Each command lives in a module of its own under `fsclient.commands` and is imported when it is
used: the program must start as fast as a small tool feels.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fsclient.app import App
from fsproto import __version__
from fsproto.errors import FsError, Interrupted

COMMANDS = {
    "enroll": "Make your identity and register it with a server, by a link.",
    "login": "Begin a new session with a one-time password.",
    "logout": "End the session.",
    "whoami": "Show who you are, to be compared with what others see.",
    "status": "Show session, server and what is stored.",
    "put": "Seal local files and folders and send them.",
    "get": "Get files and folders and open them here.",
    "cat": "Write files to standard output.",
    "ls": "List a folder.",
    "mkdir": "Make folders, and those above them.",
    "mv": "Move or rename a file or folder.",
    "rm": "Remove files, or folders with -r.",
    "keys": "Show the key of a file, for other programs.",
    "shell": "Work interactively: connect once, log in once.",
}


class Commands(click.Group):
    """The group of all commands, each imported only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"fsclient.commands.{cmd_name}")
        command: click.Command = module.command
        _add_common(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, _param: click.Parameter, value: Any) -> None:  # noqa: ANN401
        if value is not None and value is not False:
            setattr(ctx.ensure_object(App).options, name, value)

    return keep


def _option(name: str, *declarations: str, **more: Any) -> click.Option:  # noqa: ANN401
    return click.Option(
        [*declarations, f"_{name}"], expose_value=False, callback=_keep(name), **more
    )


def _common(*, top: bool) -> list[click.Option]:
    """Return the options that every command takes, before or behind its name."""
    file = click.Path(path_type=Path)
    return [
        _option("home", "--home", type=file, hidden=not top, metavar="DIR",
                envvar="FSCLIENT_HOME" if top else None,
                help="Folder for keys and sessions.  [env: FSCLIENT_HOME]"),
        _option("profile", "--profile", hidden=not top, metavar="NAME",
                envvar="FSCLIENT_PROFILE" if top else None,
                help="Which identity to use, if you have several.  [env: FSCLIENT_PROFILE]"),
        _option("as_json", "--json", is_flag=True, hidden=not top,
                help="Give results as JSON."),
        _option("quiet", "--quiet", "-q", is_flag=True, hidden=not top,
                help="Say nothing but results and errors."),
        _option("debug", "--debug", is_flag=True, hidden=not top,
                help="Show where an error came from."),
        _option("otp", "--otp", hidden=not top, metavar="CODE",
                envvar="FSCLIENT_OTP" if top else None,
                help="One-time password, used if the session has ended.  [env: FSCLIENT_OTP]"),
        _option("otp_secret_file", "--otp-secret-file", type=file, hidden=not top,
                metavar="FILE", envvar="FSCLIENT_OTP_SECRET_FILE" if top else None,
                help="Compute the code from this secret (Base32 or otpauth URI), for "
                "unattended use.  [env: FSCLIENT_OTP_SECRET_FILE]"),
    ]  # fmt: skip


def _add_common(command: click.Command) -> None:
    if any(param.name == "_as_json" for param in command.params):
        return
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _add_common(child)
        return
    command.params += _common(top=False)


cli = Commands(
    name="fsclient",
    params=list(_common(top=True)),
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Put, get and share files that only you and those you name can open.\n\n"
    "Remote paths are written like reports/q3.pdf, from the top of your own tree. "
    "Exit status: 0 done, 2 usage, 3 server unreachable, 4 login refused, 5 not found, "
    "6 not allowed, 7 a security check failed, 8 conflict, 9 no space, 130 interrupted.",
)
cli = click.version_option(__version__, prog_name="fsclient", message="%(prog)s %(version)s")(cli)


def main() -> None:
    """Run one command and leave with its exit status."""
    app = App()
    # Read here and taken away: programs that are started from here need not have it.
    app.options.passphrase = os.environ.pop("FSCLIENT_PASSPHRASE", None)
    raise SystemExit(run(app, sys.argv[1:]))


def run(app: App, arguments: list[str]) -> int:
    """Run one command; return its exit status, having told what went wrong."""
    try:
        cli.main(arguments, prog_name="fsclient", standalone_mode=False, obj=app)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except BrokenPipeError:
        _forget_stdout()
        return 141  # as a program that SIGPIPE ends
    except (KeyboardInterrupt, click.Abort):
        return _complain(app, Interrupted("Interrupted; nothing half-done was left behind."))
    except FsError as error:
        return _complain(app, error)
    except MemoryError:
        return _complain(app, FsError("There is not enough memory."))
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, and --debug the rest
        return _complain(app, _unexpected(error))
    return 0


def _unexpected(error: Exception) -> FsError:
    wrapped = FsError(
        f"Something unexpected went wrong ({type(error).__name__}).",
        hint="Run it again with --debug and report what it shows.",
    )
    wrapped.__cause__ = error
    return wrapped


def _complain(app: App, error: FsError) -> int:
    if app.options.debug:
        import traceback

        traceback.print_exception(error)
    app.ui.complain(error)
    if app.options.as_json:
        app.ui.result({"error": error.code, "message": error.sentence, "hint": error.hint}, "")
    return error.exit_status


def _forget_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe a second time."""
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115

"""The command line: options, the list of commands, and exit statuses.

Each command has its own module in `fsclient.commands`, which is imported only when the command is
used, so that the program starts fast.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

from fsclient.app import GOES_ON, App
from fskit.console import leave_no_core, misused, unknown_command
from fskit.local_paths import LocalPath
from fskit.os_errors import NO_MEMORY, lacks_memory
from fskit.stdout import READER_GONE, ReaderGone, guard_stdout
from fsproto import __version__
from fsproto.errors import FsError, Interrupted

COMMANDS = {
    "enroll": "Create your keys and register them with a server.",
    "login": "Start a session with a one-time password.",
    "logout": "End the session.",
    "repin": "Trust the new address and host key of your server.",
    "sessions": "List your running sessions.",
    "profiles": "List, rename or remove profiles, or choose the default one.",
    "recovery-codes": "Create codes for a lost authenticator app.",
    "otp": "Replace the secret of your authenticator app.",
    "whoami": "Show your user name, server and fingerprints.",
    "status": "Show session, server, quota and storage.",
    "put": "Upload files and folders, sealed on this machine.",
    "get": "Download files and folders, opened on this machine.",
    "sync": "Make a remote folder equal to a local one, or the reverse.",
    "check": "Compare a local folder with a remote one.",
    "print-unit": "Print a systemd unit that keeps two folders the same.",
    "cat": "Write files to standard output.",
    "ls": "List folders.",
    "tree": "Show folders as a tree.",
    "find": "Find files and folders by name, kind, size or time.",
    "du": "Show the sizes of folders.",
    "mkdir": "Create folders.",
    "cp": "Copy remote files and folders to another remote place.",
    "mv": "Move or rename files and folders.",
    "rm": "Remove files, or folders with -r.",
    "history": "Show versions of a file, or files removed from a folder.",
    "trash": "List, restore or delete for good what was removed.",
    "restore": "Restore an older version, or a removed file or folder.",
    "share": "Share a file or folder with a user or a group.",
    "unshare": "Stop sharing a file or folder with a user or a group.",
    "shares": "Show what is shared by you and with you.",
    "link": "Make a URL that opens a file or folder without an account.",
    "links": "List your links.",
    "unlink": "End links.",
    "request": "Make a URL with which others can send you files.",
    "requests": "List your request links.",
    "unrequest": "End request links.",
    "drop": "Send files with the URL of a request link.",
    "leave": "Leave a share of another user.",
    "block": "Refuse all shares of another user, or list blocked users.",
    "watch": "Print events of your account as they happen.",
    "inbox": "Show, accept or reject files dropped for you.",
    "verify": "Compare safety numbers with another user.",
    "doctor": "Compare the server's data with what this device has seen.",
    "gateway": "Serve your tree by SFTP to programs on this machine.",
    "mount": "Mount your tree as a local folder.",
    "keys": "Export, back up, recover or rotate your keys.",
    "agent": "Type the passphrase of your keys once a day.",
    "shell": "Run commands interactively, with one login.",
}
_ELSEWHERE = {
    "add": "put", "send": "put", "upload": "put", "download": "get", "fetch": "get",
    "mirror": "sync", "rsync": "sync",
    "dir": "ls", "list": "ls", "move": "mv", "rename": "mv", "ren": "mv", "del": "rm",
    "delete": "rm", "remove": "rm", "rmdir": "rm", "register": "enroll", "info": "status",
    "log": "history", "versions": "history", "undelete": "restore", "undo": "restore",
    "unblock": "block",
    "purge": "trash", "copy": "cp", "diff": "check", "compare": "check", "cmp": "check",
    "accounts": "profiles", "bin": "trash", "recycle": "trash", "expunge": "trash",
    "events": "watch", "tail": "watch", "follow": "watch",
    "publish": "link", "publink": "link",
    "decline": "block", "drops": "inbox", "accept": "inbox",
}  # fmt: skip
"""Names of commands in other programs, for suggestions."""

_COLLECT_AFTER = 10_000
"""New objects before the garbage collector searches for reference cycles."""


class Commands(click.Group):
    """The group of commands, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"fsclient.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        _add_common(command)
        if "_FSCLIENT_COMPLETE" in os.environ:
            from fsclient.shell.command_line import add_to

            for one in (command, *getattr(command, "commands", {}).values()):
                add_to(one)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for an unknown name, raise `UsageError` with the nearest command."""
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from fsclient.shell.repl import OUTSIDE

        known = {command: command for command in COMMANDS} | _ELSEWHERE
        lists = "'fsclient --help' lists the commands."
        if ctx.ensure_object(App).is_shell:
            known = {name: command for name, command in known.items() if command not in OUTSIDE}
            lists = "'help' lists the commands."
        raise unknown_command(name, known, lists)

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
        # Eager: errors in other options need to know the form of output.
        [*declarations, f"_{name}"],
        expose_value=False,
        is_eager=True,
        callback=_keep(name),
        **more,
    )


def _common(*, top: bool) -> list[click.Option]:
    """Return the options that every command accepts, before or after its name."""
    file = LocalPath()
    return [
        _option("home", "--home", type=file, hidden=not top, metavar="DIR",
                envvar="FSCLIENT_HOME" if top else None,
                help="Folder for keys and sessions.  [env: FSCLIENT_HOME]"),
        _option("profile", "--profile", hidden=not top, metavar="NAME",
                envvar="FSCLIENT_PROFILE" if top else None,
                help="Profile to use, if you have several; 'fsclient profiles' lists them.  "
                "[env: FSCLIENT_PROFILE]"),
        _option("as_json", "--json", is_flag=True, hidden=not top,
                help="Print results and errors as JSON."),
        _option("quiet", "--quiet", "-q", is_flag=True, hidden=not top,
                help="Print only results and errors."),
        _option("debug", "--debug", is_flag=True, hidden=not top,
                help="Show a traceback for errors."),
        _option("otp", "--otp", hidden=not top, metavar="CODE",
                envvar="FSCLIENT_OTP" if top else None,
                help="One-time password, used if the session has ended.  [env: FSCLIENT_OTP]"),
        _option("otp_secret_file", "--otp-secret-file", type=file, hidden=not top,
                metavar="FILE", envvar="FSCLIENT_OTP_SECRET_FILE" if top else None,
                help="Compute the code from this secret (Base32 or otpauth URI), for "
                "unattended use.  [env: FSCLIENT_OTP_SECRET_FILE]"),
        _option("via", "--via", hidden=not top, metavar="COMMAND",
                envvar="FSCLIENT_VIA" if top else None,
                help="Connect through a program, for example 'ssh -s alice@host fs'; 'enroll' "
                "and 'login' store it, '' removes it.  [env: FSCLIENT_VIA]"),
    ]  # fmt: skip


def _add_common(command: click.Command) -> None:
    if any(param.name == "_as_json" for param in command.params):
        return
    command.epilog = f"{command.epilog or ''}\n\nThe options of 'fsclient --help' work here, too."
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _add_common(child)
    command.params += _common(top=False)


cli = Commands(
    name="fsclient",
    params=list(_common(top=True)),
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Keep files on a server that cannot read them.\n\n"
    "Files and their names are sealed here before they are sent. Remote paths are written from "
    "the top of your own tree, like reports/q3.pdf. The options below work before and after the "
    "command; 'fsclient COMMAND --help' explains a command.",
    epilog="\b\nFirst steps:\n"
    "  fsclient enroll LINK          the link is from your administrator\n"
    "  fsclient put report.pdf       seal a file and send it\n"
    "  fsclient ls -l                list your files\n"
    "  fsclient get report.pdf       get it back\n"
    "\n\b\nExit status:\n"
    "  0  done                       5  not found\n"
    "  1  unexpected error           6  not allowed\n"
    "  2  wrong usage                7  A SECURITY CHECK FAILED\n"
    "  3  server cannot be reached   8  conflict: exists, or was changed\n"
    "  4  login refused              9  no space\n"
    "                              130  interrupted\n"
    "\nFSCLIENT_PASSPHRASE, if set, is the passphrase of the identity.",
)
cli = click.version_option(__version__, prog_name="fsclient", message="%(prog)s %(version)s")(cli)


def main() -> None:
    """Run one command and end the process with its exit status."""
    guard_stdout()
    if "_FSCLIENT_COMPLETE" in os.environ:  # a shell requests completions
        _complete()
    app = App()
    # Removed from the environment, so that child processes do not receive the secrets.
    app.options.passphrase = os.environ.pop("FSCLIENT_PASSPHRASE", None)
    app.options.new_passphrase = os.environ.pop("FSCLIENT_NEW_PASSPHRASE", None)
    app.options.export_passphrase = os.environ.pop("FSCLIENT_EXPORT_PASSPHRASE", None)
    app.options.recovery_phrase = os.environ.pop("FSCLIENT_RECOVERY_PHRASE", None)
    app.options.link_password = os.environ.pop("FSCLIENT_LINK_PASSWORD", None)
    _end_cleanly_when_told()
    leave_no_core()
    # Next to nothing here refers to itself, and a command ends soon: looking for it costs more.
    gc.set_threshold(_COLLECT_AFTER)
    try:
        status = run(app, sys.argv[1:])
    except KeyboardInterrupt:  # a second Ctrl-C while the first one is reported
        status = Interrupted.exit_status
    except (MemoryError, SystemError) as error:  # not even enough to say so as other errors are
        if not lacks_memory(error):
            raise
        status = FsError.exit_status
        os.write(2, b"fsclient: " + NO_MEMORY.encode() + b"\n")
    _leave(status)


def _leave(status: int) -> NoReturn:
    """End the process at once, without the interpreter's cleanup.

    That cleanup would delay a small command, and a second Ctrl-C could interrupt it.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError, FsError, ReaderGone):  # what is buffered cannot be written
            status = status or FsError.exit_status
    os._exit(status)


def _complete() -> None:
    """Answer a shell's request for completions; an invalid line has none."""
    from fsclient.shell.command_line import start

    with contextlib.suppress(FsError, ReaderGone, click.ClickException):
        cli.main(prog_name="fsclient", obj=start())
    raise SystemExit


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """Let another Ctrl-C end the program at once: the command is interrupted already."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_cleanly_when_told() -> None:
    """Turn SIGTERM and SIGHUP into an exception, so that cleanup runs as after Ctrl-C."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def run(app: App, arguments: list[str]) -> int:
    """Run one command and show its error, if any; return its exit status."""
    app.begin()
    try:
        _invoke(app, arguments)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return app.complain(misused(error))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except (BrokenPipeError, ReaderGone):
        return READER_GONE
    except (KeyboardInterrupt, click.Abort):
        with _ending_at_once():
            app.ui.end_line()
            what = GOES_ON if app.goes_on else None
            return app.complain(
                Interrupted("Interrupted; nothing half-done was left in place.", hint=what)
            )
    except FsError as error:
        return app.complain(error)
    except Exception as error:  # noqa: BLE001 - users see a sentence, --debug the traceback
        return app.complain(FsError(NO_MEMORY) if lacks_memory(error) else _unexpected(error))
    return 0


def _invoke(app: App, arguments: list[str]) -> None:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    if "--json" in arguments[: arguments.index("--") if "--" in arguments else None]:
        app.options.as_json = True  # errors in the command line are JSON, too
    # Not `cli.main`, which would end the program itself after a closed pipe.
    with cli.make_context("fsclient", list(arguments), obj=app) as context:
        cli.invoke(context)


def _unexpected(error: Exception) -> FsError:
    words = (
        f"{error.strerror}"
        if isinstance(error, OSError) and error.strerror
        else type(error).__name__
    )
    wrapped = FsError(
        f"Something unexpected went wrong ({words}).",
        hint="Run it again with --debug and report what it shows.",
    )
    wrapped.__cause__ = error
    return wrapped

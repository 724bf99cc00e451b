"""`fsclient print-unit`."""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from pathlib import Path

import click

from fsclient.app import App
from fsclient.transfer.sync import SyncPair, which_way
from fsclient.ui import write_out
from fsproto.errors import UsageError
from fsproto.names import for_terminal

EXAMPLES = """\b
Examples:
  cd ~/.config/systemd/user
  fsclient print-unit ~/notes notes > fsclient-notes.service
  systemctl --user daemon-reload
  systemctl --user enable --now fsclient-notes
"""
_UNIT = """\
# Keeps a local and a remote folder the same. Made by 'fsclient print-unit'. Save it as
# ~/.config/systemd/user/{name}.service, then:
#   systemctl --user daemon-reload && systemctl --user enable --now {name}
#   journalctl --user -u {name}    what it did, and what it waits for
# It runs while you are logged in; 'loginctl enable-linger' lets it run always.
# If your identity has a passphrase, run 'fsclient agent start' and type it for any command: the
# unit gets the key within a minute. Or write FSCLIENT_PASSPHRASE=... into a file of mode 600,
# and add EnvironmentFile=FILE below [Service].
[Unit]
Description=fsclient: {title}

[Service]
ExecStart={command}
Restart=on-failure
RestartSec=60
# Wrong usage, and a failed security check: only a person can decide.
RestartPreventExitStatus=2 7
SuccessExitStatus=130 143
LimitCORE=0
UMask=0077
Nice=10

[Install]
WantedBy=default.target
"""


@click.command(epilog=EXAMPLES)
@click.argument("local", metavar="LOCAL")
@click.argument("remote", metavar="REMOTE")
@click.option("--one-way", is_flag=True, help="Only towards the server, without --two-way.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="As for 'sync'.")
@click.pass_obj
def command(
    app: App, /, local: str, remote: str, *, one_way: bool, exclude: tuple[str, ...]
) -> None:
    """Print a systemd user unit that runs 'fsclient sync --two-way --watch LOCAL REMOTE'.

    A new session needs a one-time password: with --otp-secret-file FILE the unit starts one by
    itself, else it waits for 'fsclient login'.
    """
    way = which_way(local, remote, down=False, base=app.base)
    if way.down:
        raise UsageError("A unit watches a local folder: give it first, then the remote one.")
    folder = Path(way.local).absolute()
    words = [*_program(), *_options(app), "sync", "--watch", *([] if one_way else ["--two-way"])]
    for pattern in exclude:
        words += ["--exclude", pattern]
    words += ["--", str(folder), str(way.remote)]
    name = "fsclient-" + (re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.") or "folder")
    line = " ".join(map(_quoted, words))
    write_out(_UNIT.format(name=name, title=_title(folder, way), command=line))


def _program() -> list[str]:
    """Return the command that runs this program."""
    found = shutil.which(sys.argv[0])
    if found is not None and Path(found).name.startswith("fsclient"):
        return [str(Path(found).absolute())]
    return [sys.executable, "-m", "fsclient"]


def _options(app: App) -> list[str]:
    """Return the common options that were given, with absolute paths."""
    given, words = app.options, list[str]()
    if given.home is not None:
        words += ["--home", str(given.home.absolute())]
    words += ["--profile", app.profile.name]  # the default may be another one later
    if given.otp_secret_file is not None:
        words += ["--otp-secret-file", str(given.otp_secret_file.absolute())]
    if given.via is not None:
        words += ["--via", given.via]
    return words


def _quoted(word: str) -> str:
    """Return a word for a command line of systemd; `UsageError` if no unit can contain it."""
    if any(unicodedata.category(character).startswith("C") for character in word):
        raise UsageError(f"A unit file cannot contain '{for_terminal(word)}'.")
    escaped = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_./:@=,+%$-]+", escaped):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _title(folder: Path, way: SyncPair) -> str:
    return f"{folder} and {way.remote}".replace("%", "%%")

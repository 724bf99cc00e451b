"""Commands for the installation: systemd units, and shell completion."""

from __future__ import annotations

import importlib.resources
import re
import sys
from pathlib import Path

import click

from fsadmin.context import Admin
from fskit.console import debug_option
from fskit.local_paths import LocalPath
from fsproto.errors import NotFoundError, UsageError

_STATE = Path("/var/lib")
_PASSPHRASE, _BACKUPS = Path("/etc/fsd-backup-passphrase"), Path("/var/backups/fsd")
_UNITS = (
    "fsd.service",
    "fsd-backup.service",
    "fsd-backup.timer",
    "fsd-verify.service",
    "fsd-verify.timer",
)
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PROGRAMS = ("fsd", "fsadmin", "fsclient")


@click.command("print-unit", short_help="Print a hardened systemd unit for fsd.")
@click.argument("unit", metavar="[UNIT]", type=click.Choice(_UNITS), default=_UNITS[0])
@click.option("--user", default="fsd", show_default=True, help="The user that runs fsd.")
@click.option(
    "--program",
    type=LocalPath(),
    help="Path of the program that the unit runs.  [default: here]",
)
@debug_option
@click.pass_obj
def print_unit(admin: Admin, *, unit: str, user: str, program: Path | None) -> None:
    """Print a systemd unit for the data directory --home, or /var/lib/fsd.

    \b
        useradd --system --home-dir /var/lib/fsd --shell /usr/sbin/nologin fsd
        fsadmin print-unit > /etc/systemd/system/fsd.service
        systemctl daemon-reload && systemctl enable --now fsd

    fsd can then access only its data directory and the network. 'systemctl reload fsd' has
    it read its settings and host key again. Run fsadmin as the same user: sudo -u fsd fsadmin ...

    UNIT is fsd.service, or fsd-backup or fsd-verify with .service or .timer. fsd-backup makes a
    backup every night and keeps fourteen; its .service says what it needs. fsd-verify verifies
    the audit log and checks the server every morning. Install both files of one, and enable its
    .timer.
    """  # noqa: D301 - click looks for the character \b
    if not _USER_NAME.fullmatch(user):
        raise UsageError(f"'{user}' is not the name of a user.")
    home = (admin.home_path or _STATE / "fsd").absolute()
    found = program or _beside("fsd" if unit == _UNITS[0] else "fsadmin")
    for path in (home, found):
        if re.search(r"[\s%\"'\\$]", str(path)):
            raise UsageError(f"A unit file cannot contain '{path}': it has a special character.")
    click.echo(_unit(unit, home, found, user), nl=False)


def _unit(unit: str, home: Path, program: Path, user: str) -> str:
    text = importlib.resources.files("fsd.systemd").joinpath(unit).read_text("utf-8")
    if home.parent == _STATE:
        writable = f"StateDirectory={home.name}\nStateDirectoryMode=0700"
    else:
        writable = f"ReadWritePaths={home}"
    below_home = home.is_relative_to("/home") or home.is_relative_to("/root")
    return text.format(
        home=home,
        program=program.absolute(),
        user=user,
        writable=writable,
        protect_home="no" if below_home else "yes",
        passphrase=_PASSPHRASE,
        backups=_BACKUPS,
    )


def _beside(name: str) -> Path:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise NotFoundError(f"There is no {name} at {path}.", hint="Say where with --program.")
    return path


@click.command(short_help="Print shell completion for all three programs.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print the shell completion of the commands and options of the three programs.

    \b
        bash:  fsadmin completion bash > /etc/bash_completion.d/fs
        zsh:   fsadmin completion zsh  > /usr/local/share/zsh/site-functions/_fs
        fish:  fsadmin completion fish > ~/.config/fish/conf.d/fs.fish

    It needs bash 4.4 or newer, zsh, or fish.
    """  # noqa: D301 - click looks for the character \b
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"There is no completion for {shell}.")
    root = context.find_root().command
    made = [kind(root, {}, name, f"_{name.upper()}_COMPLETE").source() for name in _PROGRAMS]
    click.echo(_zsh_file(made) if shell == "zsh" else "\n".join(made))


def _zsh_file(made: list[str]) -> str:
    """Return one file for all programs: zsh reads only the first line to learn their names.

    It loads the file as a function when one of them is completed for the first time.
    """
    functions = [text[text.index("_") : text.index("if [[ $zsh_eval_context")] for text in made]
    names = [f"compdef _{name}_completion {name}" for name in _PROGRAMS]
    return "\n".join(
        [
            f"#compdef {' '.join(_PROGRAMS)}\n",
            *functions,
            "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then",
            '    _${service}_completion "$@"',
            "else",
            *(f"    {line}" for line in names),
            "fi",
        ]
    )

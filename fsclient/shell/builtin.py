"""Commands of the shell itself: current folders, and programs of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from fsclient.app import App
from fsclient.local_errors import local_errors
from fsclient.tree.nodes import must_be_folder
from fsproto.errors import FsError, UsageError
from fsproto.names import RemotePath, for_terminal

BUILTINS = {
    "cd": "Go to a remote folder; without one, to the top of your tree.",
    "pwd": "Show the current remote folder.",
    "lcd": "Go to a local folder; without one, to your home folder.",
    "lpwd": "Show the current local folder.",
    "lls": "List a local folder, with the options of this machine's ls.",
    "!": "Run a command of this machine, as in '!date'; alone, start a shell.",
}
"""Names and one-line help."""


class Builtins:
    """Runs the commands that act on the shell alone."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._run: dict[str, Callable[[Sequence[str]], int]] = {
            "cd": self._cd,
            "pwd": self._pwd,
            "lcd": self._lcd,
            "lpwd": self._lpwd,
            "lls": lambda words: _local(["dir" if os.name == "nt" else "ls", *words]),
        }

    @property
    def prompt(self) -> str:
        """The current remote folder as a prompt shows it; empty at the top of the user's tree."""
        folder = self._app.folder
        return f" {folder}" if folder.parts or folder.owner else ""

    def takes(self, command: str) -> bool:
        """Return whether a word is one of these commands."""
        return command in self._run

    def run(self, command: str, words: Sequence[str]) -> int:
        """Run a command; return its exit status. Raises `FsError`."""
        return self._run[command](words)

    def _cd(self, words: Sequence[str]) -> int:
        path = self._app.path(_one(words, "cd", "/"))
        with self._app.session() as session:
            found = must_be_folder(session.tree.find(path))
        self._app.folder = RemotePath(found.path.owner, found.path.parts, names_folder=True)
        return 0

    def _pwd(self, words: Sequence[str]) -> int:
        _none(words, "pwd")
        self._app.ui.result({"path": str(self._app.folder)}, str(self._app.folder))
        return 0

    def _lcd(self, words: Sequence[str]) -> int:
        folder = Path(_one(words, "lcd", "~"))
        with local_errors(folder):
            try:
                os.chdir(folder.expanduser())
            except RuntimeError:
                raise UsageError(
                    f"There is no home folder for '{for_terminal(str(folder))}'."
                ) from None
        return 0

    def _lpwd(self, words: Sequence[str]) -> int:
        _none(words, "lpwd")
        with local_errors(Path()):
            here = str(Path.cwd())
        self._app.ui.result({"path": here}, here)
        return 0


def run_locally(line: str) -> int:
    """Run a line in this machine's shell, or start that shell for an empty line."""
    if line:
        return _local(line)
    return _local([os.environ.get("SHELL") or os.environ.get("COMSPEC") or "/bin/sh"])


def _local(command: str | list[str]) -> int:
    # Ctrl-C is for the program alone. Unlike SIG_IGN, a handler is not inherited by it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = subprocess.run(  # noqa: S603 - the person typed it, as in any shell
            command, shell=isinstance(command, str), check=False
        )
        return done.returncode
    except OSError as error:
        raise FsError(f"The local command cannot be run: {error.strerror}.") from None
    finally:
        signal.signal(signal.SIGINT, before)


def _one(words: Sequence[str], command: str, default: str) -> str:
    if len(words) > 1:
        raise UsageError(f"'{command}' goes to one folder; quote a name that has blanks.")
    return words[0] if words else default


def _none(words: Sequence[str], command: str) -> None:
    if words:
        raise UsageError(f"'{command}' has no arguments.")

"""The interactive shell: connect and log in once, then run commands by name.

Three commands are from an older program: SEND_FILE asks for the path of a local file and puts it,
REQUEST_FILE asks for a name and gets it, EXIT ends the shell.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from fsclient.app import App
from fsclient.shell.builtin import BUILTINS, Builtins, run_locally
from fsclient.shell.remote_names import group_names, remote_names
from fsclient.shell.words import split
from fsproto.errors import FsError, Interrupted, UsageError

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer

Run = Callable[[App, list[str]], int]
ENDS = ("exit", "quit", "bye")
OUTSIDE = ("shell", "enroll", "agent", "watch", "profiles")
_ASKING = {
    "send_file": ("put", "Path of the file to send: "),
    "request_file": ("get", "Name of the file to get: "),
}
_HELP = (
    "Commands: {names}; 'help COMMAND' tells more. In the shell alone: cd, pwd, lcd, lpwd, lls, "
    "and '!COMMAND' for commands of this machine. SEND_FILE and REQUEST_FILE ask for what they "
    "need. EXIT ends."
)


class Shell:
    """A reader of lines that runs them as commands over one session."""

    def __init__(self, app: App, run: Run, names: list[str]) -> None:
        """`run` runs a command; `names` are all commands."""
        self._app = app
        self._run = run
        self._names = [name for name in names if name not in OUTSIDE]
        self._typed = sys.stdin is not None and sys.stdin.isatty()
        self._builtins = Builtins(app)

    def loop(self) -> int:
        """Run lines until EXIT or the end of input.

        Return the last command's status for a script, and 0 for a terminal.
        """
        self._app.enter_shell()
        with self._app.in_use():
            return self._run_lines()

    def _run_lines(self) -> int:
        status = 0
        try:
            with self._app.session() as session:
                user, where = session.identity.user, session.facts.link.address
            self._app.ui.say(f"Connected to {where} as {user}. 'help' lists commands, EXIT ends.")
            for line in self._lines(lambda: f"{user}{self._builtins.prompt}> "):
                if (
                    line.lower().partition(" ")[0] in ENDS
                ):  # words after it, such as a status, are ignored
                    break
                status = self._line(line, status)
        finally:
            self._app.drop_session()
        return 0 if self._typed else status

    def _line(self, line: str, status: int) -> int:
        """Run one line; return its status, or `status` for a line without a command."""
        with self._app.line():
            try:
                if line.startswith("!"):
                    return run_locally(line[1:].strip())
                words = self._words(line)
                if words and self._builtins.takes(words[0]):
                    return self._builtins.run(words[0], words[1:])
            except FsError as error:
                return self._app.complain(error)
            return self._run(self._app, words) if words else status

    def _words(self, line: str) -> list[str]:
        """Return a line as arguments of the command line; empty if there is nothing to run."""
        words = split(line)
        if not words:
            return []
        # Upper case is accepted, because the old commands use it.
        command, rest = words[0].lower(), words[1:]
        if command == "help" and rest and rest[0].lower() in BUILTINS:
            self._app.ui.say(BUILTINS[rest[0].lower()])
            return []
        if self._builtins.takes(command):
            return [command, *rest]
        if command in ("help", "?") and not rest:
            self._app.ui.say(_HELP.format(names=", ".join(self._names)))
            return []
        if command in _ASKING:
            command, question = _ASKING[command]
            rest = rest or self._ask(question)
            if not rest:
                return []
            rest = ["--", *rest]
        if command in OUTSIDE:
            raise UsageError(f"'{command}' cannot be used inside the shell.")
        if command == "put" and "-" in rest and not self._typed:
            raise UsageError("Standard input holds the commands here; it cannot be put.")
        if command in ("put", "get", "sync", "check"):
            rest = [os.path.expanduser(word) for word in rest]  # noqa: PTH111 - not all are paths
        return [command if command in (*self._names, "help") else words[0], *rest]

    def _ask(self, question: str) -> list[str]:
        """Ask for the one argument of an old command; empty without an answer."""
        if not self._typed:
            answer = sys.stdin.readline().strip()
        else:
            try:
                answer = self._app.ui.ask(question)
            except (Interrupted, KeyboardInterrupt):
                self._app.ui.say("")
                return []
        return [answer] if answer else []

    def _lines(self, prompt: Callable[[], str]) -> Iterator[str]:
        """Yield the lines to run: typed with history and completion, or from a script."""
        if not self._typed:
            while sys.stdin is not None and (line := sys.stdin.readline()):
                yield line.strip()
            return
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

        place = self._app.profile.folder
        history = FileHistory(str(place / "history")) if os.access(place, os.W_OK) else None
        session: PromptSession[str] = PromptSession(history=history, completer=self._completer())
        while True:
            try:
                yield session.prompt(prompt(), complete_while_typing=False).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def _completer(self) -> Completer:
        from fsclient.shell.completion import PathCompleter

        words = [*self._names, *BUILTINS, "help", "SEND_FILE", "REQUEST_FILE", "EXIT"]
        app = self._app
        return PathCompleter(words, partial(remote_names, app), partial(group_names, app))

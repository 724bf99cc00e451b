"""The interactive session: connect once, log in once, then every command by its name.

Three commands go back to the program that this one grew from: SEND_FILE asks for the path of a
local file and puts it, REQUEST_FILE asks for a name and gets it, EXIT ends.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fsclient.app import App
from fsproto.errors import FsError

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer

Run = Callable[[App, list[str]], int]
ENDS = ("exit", "quit", "bye")
_HELP = "Commands: {names}. SEND_FILE, REQUEST_FILE and EXIT ask for what they need."


class Shell:
    """Reads lines and runs them as commands over one session."""

    def __init__(self, app: App, run: Run, names: list[str]) -> None:
        """Take the program's options, what runs a command, and the commands there are."""
        self._app = app
        self._run = run
        self._names = [name for name in names if name not in ("shell", "enroll")]

    def loop(self) -> int:
        """Work until EXIT or the end of input; return the last command's status for scripts."""
        self._app.in_shell = True
        status = 0
        try:
            with self._app.session() as session:
                user, where = session.identity.user, session.facts.link.address
            self._app.ui.say(f"Connected to {where} as {user}. 'help' lists commands, EXIT ends.")
            for line in self._lines(f"{user}> "):
                if line.lower() in ENDS:
                    break
                status = self._line(line, status)
        finally:
            self._app.drop_session()
        return 0 if sys.stdin.isatty() else status

    def _line(self, line: str, status: int) -> int:
        try:
            words = self._words(line)
        except ValueError as error:
            self._app.ui.warn(f"That line cannot be read: {error}.")
            return 2
        if not words:
            return status
        if words[0] == "help" and len(words) == 1:
            self._app.ui.say(_HELP.format(names=", ".join(self._names)))
            return 0
        if words[0] in ("shell", "enroll"):
            self._app.ui.warn(f"'{words[0]}' cannot be used inside the shell.")
            return 2
        with self._app.line():
            return self._run(self._app, words)

    def _words(self, line: str) -> list[str]:
        """Split a line; the two old commands ask for what they need and become new ones."""
        match line.upper():
            case "SEND_FILE":
                path = self._ask("Path of the file to send: ")
                return ["put", "--", path] if path else []
            case "REQUEST_FILE":
                name = self._ask("Name of the file to get: ")
                return ["get", "--", name] if name else []
        words = shlex.split(line)
        return ["--help"] if words == ["?"] else words

    def _ask(self, question: str) -> str:
        if not sys.stdin.isatty():
            return sys.stdin.readline().strip()
        try:
            return input(question).strip()
        except EOFError:
            return ""

    def _lines(self, prompt: str) -> Iterator[str]:
        """Give the lines to run: typed ones with history and completion, or those of a script."""
        if not sys.stdin.isatty():
            while line := sys.stdin.readline():
                yield line.strip()
            return
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

        history = FileHistory(str(self._app.profile.folder / "history"))
        session: PromptSession[str] = PromptSession(history=history, completer=self._completer())
        while True:
            try:
                yield session.prompt(prompt, complete_while_typing=False).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def _completer(self) -> Completer:
        from fsclient.completion import PathCompleter

        words = [*self._names, "help", "SEND_FILE", "REQUEST_FILE", "EXIT"]
        return PathCompleter(words, self._remote_names)

    def _remote_names(self, folder: str) -> list[str]:
        """Return what a remote folder holds, for completion; nothing if it cannot be known."""
        from fsproto.names import parse_path

        try:
            with self._app.session() as session:
                found = session.tree.find(parse_path(folder or "/"))
                inside = session.tree.children(found) if found.is_folder else []
                return [one.metadata.name + ("/" if one.is_folder else "") for one in inside]
        except FsError:
            return []

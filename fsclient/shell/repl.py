"""The interactive shell: connect and log in once, then run commands by name.

Three commands are from an older program: SEND_FILE asks for the path of a local file and puts it,
REQUEST_FILE asks for a name and gets it, EXIT ends the shell.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fsclient.app import App
from fsclient.shell.words import split
from fsproto.errors import FsError, Interrupted, UsageError

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer

Run = Callable[[App, list[str]], int]
ENDS = ("exit", "quit", "bye")
OUTSIDE = ("shell", "enroll")
_ASKING = {
    "send_file": ("put", "Path of the file to send: "),
    "request_file": ("get", "Name of the file to get: "),
}
_HELP = (
    "Commands: {names}; 'help COMMAND' tells more. SEND_FILE and REQUEST_FILE ask for what they "
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

    def loop(self) -> int:
        """Run lines until EXIT or the end of input.

        Return the last command's status for a script, and 0 for a terminal.
        """
        status = 0
        self._app.enter_shell()
        try:
            with self._app.session() as session:
                user, where = session.identity.user, session.facts.link.address
            self._app.ui.say(f"Connected to {where} as {user}. 'help' lists commands, EXIT ends.")
            for line in self._lines(f"{user}> "):
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
                words = self._words(line)
            except UsageError as error:
                return self._app.complain(error)
            return self._run(self._app, words) if words else status

    def _words(self, line: str) -> list[str]:
        """Return a line as arguments of the command line; empty if there is nothing to run."""
        words = split(line)
        if not words:
            return []
        # Upper case is accepted, because the old commands use it.
        command, rest = words[0].lower(), words[1:]
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
        if command in ("put", "get", "sync"):
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

    def _lines(self, prompt: str) -> Iterator[str]:
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
                yield session.prompt(prompt, complete_while_typing=False).strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    def _completer(self) -> Completer:
        from fsclient.shell.completion import PathCompleter

        words = [*self._names, "help", "SEND_FILE", "REQUEST_FILE", "EXIT"]
        return PathCompleter(words, self._remote_names, self._groups)

    def _groups(self) -> list[str]:
        """Return the groups in the user's shares, because the server does not list groups."""
        from fsclient.sharing.groups import groups_of
        from fsclient.sharing.own_shares import own_shares

        try:
            with self._app.session_at_hand() as session:
                return groups_of(own_shares(session.tree).shares)
        except FsError:
            return []

    def _remote_names(self, folder: str) -> list[str]:
        """Return the names in a remote folder, for completion; empty if it cannot be listed."""
        from fsproto.names import parse_path

        try:
            with self._app.session_at_hand() as session:
                found = session.tree.find(parse_path(folder or "/"))
                inside = session.tree.children(found).nodes if found.is_folder else []
                names = [one.path.name + ("/" if one.is_folder else "") for one in inside]
                if not folder:
                    names += [f"{owner}:" for owner in session.tree.shared.owners()]
                return names
        except FsError:
            return []

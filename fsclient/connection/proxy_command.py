"""A program that carries the connection: `ssh -s HOST fs`, or anything else that speaks on stdin.

Its standard input and output are one end of a pair of sockets, ours is the other; so what is
carried is a socket like any. What it says on stderr is kept, and told only if it fails: OpenSSH
asks its questions at the terminal itself. Not on Windows: no program there takes sockets for these.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import tempfile

from fsproto.errors import Unreachable, UsageError
from fsproto.names import for_terminal

_SOON_S = 2.0
"""For the program to end once its connection has."""
_LAST_BYTES = 4096
"""Bytes at the end of the program's output that are searched for its last line."""
_LONGEST = 300
"""Characters of the program's own words that a person is shown."""
_HINT = (
    "It is the program of --via, of FSCLIENT_VIA, or of the profile; try it by itself. "
    "--via '' connects directly."
)


class ProxyCommand:
    """A running proxy command."""

    def __init__(self, command: str) -> None:
        """Start the program; `UsageError` for an invalid command line, `Unreachable` if it fails.

        The line is split into words as by a shell. Other features of a shell are not supported.
        """
        words = _words(command)
        self._program = for_terminal(words[0])
        self.socket, theirs = _pair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed after the program
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command, no shell
                words, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._said
            )
        except OSError as error:
            self.socket.close()
            self._said.close()
            why = "there is no such program" if isinstance(error, FileNotFoundError) else None
            raise Unreachable(
                f"'{self._program}' cannot be started: {why or error.strerror}.", hint=_HINT
            ) from None
        finally:
            theirs.close()

    def failed(self) -> Unreachable:
        """Return why there is no connection, in the program's own last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SOON_S)
        # A server chooses what OpenSSH prints, so only the end is read.
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _LAST_BYTES))
        lines = self._said.read(_LAST_BYTES).decode("utf-8", "replace").splitlines()
        words = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if not words:
            status = self._process.poll()
            words = "it closed the connection" if status is None else f"exit status {status}"
        words = for_terminal(words[:_LONGEST]).rstrip(".")
        return Unreachable(f"'{self._program}' did not reach the server: {words}.", hint=_HINT)

    def close(self) -> None:
        """End it."""
        self.socket.close()
        try:
            self._process.wait(_SOON_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise UsageError(
            "The proxy command is not a valid command line.",
            hint="--via takes one like 'ssh -p 2022 -s alice@files.example.org fs'.",
        )
    return words


def _pair() -> tuple[socket.socket, socket.socket]:
    made = getattr(socket, "socketpair", None)
    if made is None or not hasattr(socket, "AF_UNIX"):
        raise UsageError(
            "This system cannot connect through a program.",
            hint="Have ssh forward a port instead (-L), and repin to it.",
        )
    ours, theirs = made()
    return ours, theirs

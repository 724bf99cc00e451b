"""A program that is a fork of the helper process, with the methods of `subprocess.Popen`."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Self


class Forked:
    """A child of this process that `Popen` did not start; see `Popen` for the methods."""

    def __init__(
        self,
        args: list[bytes],
        start: Callable[[list[int]], int],
        stdin: int | IO[Any] | None,
        stdout: int | IO[Any] | None,
        stderr: int | IO[Any] | None,
        encoding: str | None,
    ) -> None:
        """Take a function that starts it on three descriptors and returns the process's id."""
        self.args = args
        self.returncode: Any = None  # as `Popen` declares it: an int once the program has ended
        self._lock = threading.Lock()
        self._readers: list[threading.Thread] = []
        self._read: dict[str, Any] = {}
        with contextlib.ExitStack() as theirs:
            ends = [
                _end(number, given, encoding, theirs)
                for number, given in enumerate((stdin, stdout, stderr))
            ]
            self.pid = start([descriptor for descriptor, _ in ends])
        self._ended = os.pidfd_open(self.pid)
        self.stdin, self.stdout, self.stderr = (ours for _, ours in ends)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
                    os.close(self._ended)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, at most `timeout` seconds (`TimeoutExpired`)."""
        ends = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            # Another thread may learn of the end first: the descriptor is not waited on for long.
            left = 0.5 if ends is None else min(0.5, ends - time.monotonic())
            if left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._until_ended(left)
        return status

    def communicate(self, given: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Send the input, and return all that it writes; can be called again after a timeout."""
        ends = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr)):
                if stream is not None:
                    self._in_thread(self._read_all, name, stream)
            if self.stdin is not None and not self.stdin.closed:
                self._in_thread(self._send, self.stdin, given)
        for reader in self._readers:
            reader.join(None if ends is None else max(0, ends - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if ends is None else max(0.001, ends - time.monotonic()))
        return self._read.get("stdout"), self._read.get("stderr")

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _until_ended(self, within_s: float) -> None:
        poll = select.poll()
        poll.register(self._ended, select.POLLIN)
        poll.poll(within_s * 1000)

    def _in_thread(self, run: Callable[..., None], *args: Any) -> None:
        self._readers.append(threading.Thread(target=run, args=args, daemon=True))
        self._readers[-1].start()

    def _read_all(self, name: str, stream: IO[Any]) -> None:
        with stream:
            self._read[name] = stream.read()

    @staticmethod
    def _send(stream: IO[Any], given: Any) -> None:
        with contextlib.suppress(BrokenPipeError), stream:
            if given:
                stream.write(given)


def _end(
    number: int, given: int | IO[Any] | None, encoding: str | None, theirs: contextlib.ExitStack
) -> tuple[int, IO[Any] | None]:
    """Return the program's end of a stream and ours; `theirs` closes ends that only it needs."""
    if given is None:
        return number, None
    if given == subprocess.DEVNULL:
        null = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, null)
        return null, None
    if given == subprocess.PIPE:
        reading, writing = os.pipe()
        its_end, ours = (reading, writing) if number == 0 else (writing, reading)
        theirs.callback(os.close, its_end)
        mode = "w" if number == 0 else "r"
        return its_end, os.fdopen(ours, mode if encoding else f"{mode}b", encoding=encoding)
    return given if isinstance(given, int) else given.fileno(), None

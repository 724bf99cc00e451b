"""Delivery to a command: the event on its standard input, no shell, none of fsd's variables."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from fsd.hooks.outcome import Outcome
from fsd.hooks.payload import HookMessage

MOST_KEPT = 2048
"""Bytes of the output that are kept; the rest is read and dropped."""
_PIECE = 1 << 16
_STEP_S = 0.05
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(
    command: Sequence[str],
    message: HookMessage,
    timeout_s: float,
    stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run a command with an event; it is delivered if the exit status is 0.

    The command and all that it has started in its process group end with it, and after
    `timeout_s`.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the administrator's own command, without a shell
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(message),
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(ok=False, told=f"it cannot be started: {error.strerror}")
    except ValueError:
        return Outcome(ok=False, told="it cannot be started: its words are not usable")
    with process:
        kept = bytearray()
        try:
            _give(process, message.body() + b"\n")
            ended = _wait(process, kept, time.monotonic() + timeout_s, stopping)
        finally:
            with suppress(ProcessLookupError, PermissionError):  # it has ended, and all with it
                os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    if not ended:
        why = "fsd was stopped" if stopping() else f"it did not end within {timeout_s:g} s"
        return Outcome(ok=False, told=why, output=bytes(kept))
    told = f"exit status {status}" if status >= 0 else f"ended by signal {-status}"
    if status and kept:
        told += f": {bytes(kept).decode('utf-8', 'replace').strip()}"
    return Outcome(status == 0, told, bytes(kept))


def _environment(message: HookMessage) -> dict[str, str]:
    """Return an environment of a few harmless variables: fsd's own may hold passwords."""
    return {
        "PATH": _PATH,
        "LANG": "C.UTF-8",
        "FS_HOOK_ID": message.id,
        "FS_HOOK_EVENT": message.event,
    }


def _give(process: subprocess.Popen[bytes], body: bytes) -> None:
    """Write the event, which is smaller than any pipe, so that this never waits."""
    if process.stdin is None:
        raise AssertionError("it was asked for")
    with suppress(BrokenPipeError):  # it need not read it
        process.stdin.write(body)
        process.stdin.flush()
    with suppress(BrokenPipeError):
        process.stdin.close()


def _wait(
    process: subprocess.Popen[bytes], kept: bytearray, ends: float, stopping: Callable[[], bool]
) -> bool:
    """Read the output until the process ends; return whether it ended in time.

    A process that it has started may keep the pipe open for longer.
    """
    if process.stdout is None:
        raise AssertionError("it was asked for")
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    with selectors.DefaultSelector() as waits:
        waits.register(pipe, selectors.EVENT_READ)
        is_open = True
        while time.monotonic() < ends and not stopping():
            if not is_open:
                time.sleep(_STEP_S)
            elif waits.select(_STEP_S):
                is_open = _take(pipe, kept)
            if process.poll() is not None:
                if is_open:
                    _take(pipe, kept)
                return True
    return False


def _take(pipe: int, kept: bytearray) -> bool:
    """Read a piece of the output; return False at its end."""
    try:
        piece = os.read(pipe, _PIECE)
    except BlockingIOError:
        return True
    kept += piece[: max(0, MOST_KEPT - len(kept))]
    return bool(piece)

"""Processes in the background: without a terminal, and with signals as bytes for a loop."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator


def fill_standard_descriptors() -> None:
    """Open standard input, output and error where they are closed.

    Otherwise the next file would get such a number, and `fork_daemon` would replace it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
        continue
    os.close(fd)


def fork_daemon(keep: Iterable[int]) -> bool:
    """Fork; return True in the new process, which has left the terminal, and False in the caller.

    The new process has a session of its own, "/" as its folder, nothing on its standard input,
    output and error, and of the other descriptors only those to `keep`. The caller must not have
    other threads. End the new process with `os._exit`.
    """
    if os.fork():
        return False
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    start = 3
    for fd in sorted(keep):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))
    return True


@contextlib.contextmanager
def signal_pipe(names: Iterable[str]) -> Iterator[int]:
    """Yield a descriptor from which the numbers of these signals can be read, each one byte.

    Until the end of the block, the signals do nothing else.
    """
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before = {}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for name in names:
            number = signal.Signals[name]
            before[number] = signal.signal(number, lambda *_: None)
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(reader)
        os.close(writer)

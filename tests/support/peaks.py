"""The peak memory of a client that runs as a process."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.world import Person, Ran, finish

_LOOK_S = 0.005
_MOST_KIB = 700 * 1024
"""A process that takes more is killed: a failed test must not take the machine's memory."""


@dataclass(frozen=True)
class Measured:
    """The result of one run of the client, and its peak memory."""

    ran: Ran
    mib: float
    """The most memory that the process had resident, in MiB."""


def measured(person: Person, *command: str | Path, within_s: float = 120) -> Measured:
    """Run a command of the client as a process; `TimeoutExpired` if it does not end."""
    process = person.start(*command)
    peaks = [0]
    watch = threading.Thread(target=_watch, args=(process, peaks))
    watch.start()
    try:
        ran = finish(process, within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    finally:
        watch.join()
    return Measured(ran, peaks[0] / 1024)


def _watch(process: subprocess.Popen[bytes], peaks: list[int]) -> None:
    """Note the peak in KiB, which the kernel keeps, until the process has ended."""
    status = Path(f"/proc/{process.pid}/status")
    while process.returncode is None:
        with contextlib.suppress(OSError, StopIteration, IndexError, ValueError):
            lines = status.read_text().splitlines()
            peak = next(line for line in lines if line.startswith("VmHWM:"))
            peaks[0] = max(peaks[0], int(peak.split()[1]))
        if peaks[0] > _MOST_KIB:
            process.kill()
        time.sleep(_LOOK_S)

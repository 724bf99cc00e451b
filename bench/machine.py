"""Facts about the machine and the compared programs, without host names or paths."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench.servers import ROOT

MEMORY = Path("/dev/shm")  # noqa: S108 - the in-memory file system of Linux


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Return the load average of the last minute; 0 where the system has none."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0


def machine(work: Path) -> dict[str, Any]:
    """Return the facts about this machine."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "memory_file_system": work.is_relative_to(MEMORY),
    }


def programs() -> dict[str, str | None]:
    """Return the versions of OpenSSH and rsync, and the commit."""

    def first_line(*command: str) -> str | None:
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        except OSError:
            return None
        lines = (done.stdout or done.stderr).splitlines()
        return lines[0].strip() if lines and not done.returncode else None

    return {
        "openssh": first_line("ssh", "-V"),
        "rsync": first_line("rsync", "--version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
    }

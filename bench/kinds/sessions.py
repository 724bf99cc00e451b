"""Server memory for idle sessions."""

from __future__ import annotations

import contextlib
import json
import subprocess

from bench.lab import Lab, probe_command, say
from bench.measure import FailedError, memory_kib
from bench.servers import ROOT


def sessions(lab: Lab) -> None:
    """Open idle sessions, and measure how much the server grows."""
    say(f"{lab.plan.sessions} idle sessions")
    lab.server.restart()
    probe = subprocess.Popen(
        probe_command("sessions", lab.plan.sessions),
        env=lab.server.env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if probe.stdin is None or probe.stdout is None or not probe.stdout.readline():
            raise FailedError("the first sessions could not be opened")
        before = memory_kib(lab.server.pid)
        probe.stdin.write("\n")
        probe.stdin.flush()
        line = probe.stdout.readline()
        if not line:
            raise FailedError("the sessions could not be opened")
        after = memory_kib(lab.server.pid)
        probe.stdin.close()
        probe.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            probe.kill()
        probe.wait()
    count = json.loads(line)["held"]
    grown = None if before is None or after is None else after - before
    lab.memory |= {
        "sessions": count,
        "server_grown_kib": grown,
        "kib_a_session": None if grown is None else round(grown / count, 1),
    }

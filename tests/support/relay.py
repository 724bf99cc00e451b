"""Programs of the project that shells and stock programs start, as forks of the helper.

They start a small script in place of the program. It gives its words, environment, folder and
streams to the test's process, which runs the program on them (`programs.start_program`). The script
ends when the program ends; when the script is killed, the program is killed too.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from functools import cache
from pathlib import Path

from tests.support.programs import Process, start_program

SCRIPT = Path(__file__).with_name("relayed.py")


def relayed(*words: str) -> list[str]:
    """Return a command that does what `python -m WORD…` does."""
    if sys.platform != "linux":
        return [sys.executable, "-m", *words]
    return [sys.executable, "-S", "-E", str(SCRIPT), _address(), *words]


@cache
def _address() -> str:
    """Return the abstract address at which this process takes requests of scripts."""
    address = f"fs-tests-relay-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{address}")
    listener.listen()
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    return address


def _accept(listener: socket.socket) -> None:
    while True:
        script, _ = listener.accept()
        threading.Thread(target=_run, args=(script,), daemon=True).start()


def _run(script: socket.socket) -> None:
    """Run one program; return after the script has ended."""
    with script:
        ask, streams, _, _ = socket.recv_fds(script, 1 << 20, 3)
        if not ask:
            return
        words, env, folder = json.loads(ask)
        try:
            process = start_program(
                [sys.executable, "-m", *words],
                env=env,
                cwd=Path(folder),
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
            )
        finally:
            for stream in streams:
                os.close(stream)
        threading.Thread(target=_report, args=(process, script.dup()), daemon=True).start()
        script.recv(1)
        process.kill()


def _report(process: Process, script: socket.socket) -> None:
    """Tell the script the exit status of its program; after a signal, as shells tell it."""
    with script:
        status = process.wait()
        try:
            script.send(str(status if status >= 0 else 128 - status).encode())
        except OSError:
            return  # the script was killed

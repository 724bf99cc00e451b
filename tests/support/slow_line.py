"""A program that runs OpenSSH's `sftp-server` behind a slow line, for `disks.slow_disk`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time


def pump(source: int, target: int, size: int, seconds: float) -> None:
    """Pass bytes on until the end of the source: `size` at most, after `seconds` each time."""
    while data := os.read(source, size):
        time.sleep(seconds)  # this is what makes the disk slow; no test waits by it
        while data:
            data = data[os.write(target, data) :]


def main() -> None:
    program, size, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    server = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    answers = server.stdout.fileno(), 1, size, seconds
    threading.Thread(target=pump, args=answers, daemon=True).start()
    try:
        pump(0, server.stdin.fileno(), size, seconds)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()

"""A script that stands for a program of the project; see `relay`.

    python -S -E relayed.py ADDRESS WORD…

It imports as little as possible, because it is started where the start of a program costs most.
"""

from __future__ import annotations

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as relay:
    relay.connect(f"\0{sys.argv[1]}")
    ask = json.dumps([sys.argv[2:], dict(os.environ), os.getcwd()])  # noqa: PTH109 - no `pathlib`
    socket.send_fds(relay, [ask.encode()], [0, 1, 2])
    # Only the program holds the streams now: whoever started this script sees them end with it.
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    status = int(relay.recv(100) or 1)
sys.exit(status)

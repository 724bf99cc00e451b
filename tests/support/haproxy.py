"""A real load balancer: HAProxy, if it is installed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fsproto.link import Address
from tests.support.world import until

SOURCE = "127.0.0.9"
"""The address from which it connects to servers."""
_DEFAULTS = """\
defaults
 mode tcp
 retries 5
 option redispatch 1
 timeout connect 2s
 timeout check 3s
 timeout client 120s
 timeout server 120s
"""


def free_address() -> Address:
    """Return an address on the loopback on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return Address(*free.getsockname()[:2])


@contextlib.contextmanager
def running(folder: Path, listens: Sequence[Sequence[str]]) -> Iterator[list[Address]]:
    """Run HAProxy with the lines of some `listen` sections; yield their addresses."""
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("NO REAL BALANCER IS TESTED: there is no haproxy on the PATH")
    places = [free_address() for _ in listens]
    parts = [_DEFAULTS]
    for place, lines in zip(places, listens, strict=True):
        parts += [f"listen l{place.port}", f" bind {place}", *(f" {line}" for line in lines)]
    config = folder / "haproxy.cfg"
    config.write_text("\n".join(parts) + "\n")
    process = subprocess.Popen([program, "-db", "-q", "-f", str(config)])
    try:
        until(lambda: all(map(_accepts, places)), "HAProxy accepts")
        yield places
    finally:
        process.terminate()
        process.wait()


def _accepts(place: Address) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((place.host, place.port), 1).close()
        return True
    return False

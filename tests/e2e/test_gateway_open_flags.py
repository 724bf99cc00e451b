"""Every combination of SFTP's open flags on every kind of target, as OpenSSH's server takes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from fsclient.gateway.filesystem import Filesystem
from fskit.sftp.codes import OpenFlag, Request, StatusCode
from tests.conftest import TIER
from tests.support.gateways import gateway
from tests.support.sftp_requests import SftpRequests, gateway_requests, stock_server

TARGETS = ("absent", "empty", "file", "folder", "link", "dangling")
FLAGS = [OpenFlag(bits) for bits in range(64)]
CASES = [(target, flags, f"{target}-{flags:02}") for target, flags in product(TARGETS, FLAGS)]
if TIER != "soak":
    CASES = CASES[::3]  # two of the targets for each combination of flags


def make(folder: Path) -> Path:
    """Make a target for each case; links lead to files of their own."""
    folder.mkdir()
    for target, _, name in CASES:
        place = folder / name
        if target in {"file", "link"}:
            (place if target == "file" else folder / f"of-{name}").write_bytes(b"content")
        if target in {"link", "dangling"}:
            place.symlink_to(f"of-{name}")
        elif target == "empty":
            place.touch()
        elif target == "folder":
            place.mkdir()
    return folder


@pytest.fixture
def files(newcomer, tmp_path: Path) -> Iterator[Filesystem]:
    """The gateway's file system, with all targets in `all`."""
    client = newcomer().enrol()
    client.run("put", make(tmp_path / "put"), "all").ok()
    with gateway(client) as running:
        yield running.filesystem()


def opened(server: SftpRequests, name: str, flags: OpenFlag) -> str:
    """Open a file and close it again; return the status of the open."""
    answer = server.open(name, flags)
    if answer[0] != "handle":
        return str(answer[0])
    return str(server.close(answer[1])[0])


def test_open_flags_do_what_they_do_in_openssh(files: Filesystem, tmp_path: Path):
    different = []
    with (
        stock_server(make(tmp_path / "stock")) as stock,
        gateway_requests(files, "all") as gateway,
    ):
        for target, flags, name in CASES:
            ours, theirs = opened(gateway, name, flags), opened(stock, name, flags)
            if target == "folder" and theirs == StatusCode.OK.name:
                theirs = StatusCode.FAILURE.name
            after = [one.answer(Request.STAT, one.path(name)) for one in (gateway, stock)]
            if (ours, after[0]) != (theirs, after[1]):
                different.append((target, flags, (ours, after[0]), (theirs, after[1])))
    assert different == []

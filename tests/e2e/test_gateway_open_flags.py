"""Every combination of SFTP's open flags on every kind of target, as OpenSSH's server takes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from fsclient.gateway.filesystem import Filesystem
from fskit.sftp.codes import OpenFlag, StatusCode
from fskit.sftp.status import status_of
from fsproto.errors import FsError, NotFoundError
from tests.support.gateways import at, gateway
from tests.support.stock_sftp import stock_server

TARGETS = ("absent", "empty", "file", "folder", "link", "dangling")
FLAGS = [OpenFlag(bits) for bits in range(64)]
CASES = [(target, flags, f"{target}-{flags:02}") for target, flags in product(TARGETS, FLAGS)]


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


def opened(files: Filesystem, name: str, flags: OpenFlag) -> StatusCode:
    try:
        files.opened.close(files.opened.open(at("all", name), flags))
    except FsError as error:
        return status_of(error)
    return StatusCode.OK


def test_open_flags_do_what_they_do_in_openssh(files: Filesystem, tmp_path: Path):
    local = make(tmp_path / "stock")
    different = []
    with stock_server(local) as stock:
        for target, flags, name in CASES:
            ours, theirs = opened(files, name, flags), stock.open(name, flags)
            if target == "folder" and theirs is StatusCode.OK:
                theirs = StatusCode.FAILURE
            after = files_after(files, name), stock_after(local / name)
            if (ours, after[0]) != (theirs, after[1]):
                different.append((target, flags, (ours, after[0]), (theirs, after[1])))
    assert different == []


def files_after(files: Filesystem, name: str) -> int | None:
    """Return the size of a file after the open; -1 for a folder, None if nothing is there."""
    try:
        facts = files.facts(at("all", name))
    except NotFoundError:
        return None
    return -1 if facts.is_folder else facts.size


def stock_after(path: Path) -> int | None:
    """Return the same for a local file."""
    if not path.exists():
        return None
    return -1 if path.is_dir() else path.stat().st_size

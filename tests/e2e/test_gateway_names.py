"""Programs that mirror through the gateway find the names that they wrote, accents included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fsclient.gateway.keys import ALIAS
from tests.support.gateways import RunningGateway, needed

NFC, NFD = "caf\u00e9.txt", "cafe\u0301.txt"
FOLDER_NFC, FOLDER_NFD = "d\u00fcr", "du\u0308r"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with names in NFD."""
    folder = tmp_path / "source"
    (folder / FOLDER_NFD).mkdir(parents=True)
    (folder / NFD).write_bytes(b"at the top")
    (folder / FOLDER_NFD / NFD).write_bytes(b"inside")
    return folder


def check_all_there(running: RunningGateway, remote: str) -> None:
    client = running.client
    assert client.names(remote) == [NFC, f"{FOLDER_NFC}/"]
    assert client.cat(f"{remote}/{NFC}") == b"at the top"
    assert client.cat(f"{remote}/{FOLDER_NFC}/{NFC}") == b"inside"


@contextmanager
def mounted(running: RunningGateway, folder: Path) -> Iterator[Path]:
    needed("sshfs")
    needed("fusermount3")
    mount = running.client.start("mount", str(folder))
    try:
        assert mount.stdout is not None
        if not mount.stdout.readline():
            assert mount.stderr is not None
            pytest.skip(f"FUSE does not work here: {mount.stderr.read().decode()}")
        yield folder
        running.run("fusermount3", "-u", folder)
        assert mount.wait(60) == 0
    finally:
        mount.terminate()
        mount.communicate()


@pytest.mark.cases(1)
@pytest.mark.parametrize("first", ["new", "there", "listed"])
def test_rsync_deletes_nothing_that_it_wrote(running, source, tmp_path, first):
    needed("rsync")
    remote = f"rsync-{first}"
    if first != "new":
        running.client.quick("put", str(source), remote).ok()
    with mounted(running, tmp_path / "mounted") as folder:
        if first == "listed":
            running.run("find", folder)
        for _ in range(3):
            running.run("rsync", "-rt", "--delete-after", f"{source}/", f"{folder / remote}/")
            check_all_there(running, remote)
        if first != "listed":  # sshfs shows its old listing for a while
            found = sorted(path.name for path in (folder / remote).iterdir())
            assert found == [NFD, FOLDER_NFD]
    check_all_there(running, remote)


@pytest.mark.cases(1)
@pytest.mark.parametrize("parallel", ["", "--parallel=4"])
@pytest.mark.parametrize("first", ["new", "there"])
def test_lftp_deletes_nothing_that_it_wrote(running, source, parallel, first):
    needed("lftp")
    remote = f"lftp-{first}{parallel}"
    if first == "there":
        running.client.quick("put", str(source), remote).ok()
    connect = f'set sftp:connect-program "ssh -F {running.config} -a -x"'
    where = f"sftp://{running.client.name}:@{ALIAS}"
    mirror = f"mirror -R --delete {parallel} {source} /{remote}"
    # The first mirror sees names in NFC; the gateway refuses the removal of names written in NFD.
    fails = first == "there"
    for _ in range(3):
        running.run("lftp", "-e", f"{connect}; {mirror} && {mirror}; bye", where, fails=fails)
        check_all_there(running, remote)
        fails = False

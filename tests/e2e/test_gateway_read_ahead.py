"""Small files that the gateway receives before a program opens them, on a real server."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from fsclient.gateway import read_ahead
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.read_stream import ReadStream
from fsclient.session.session import Session
from fskit.sftp.codes import OpenFlag
from fsproto.errors import IntegrityError, NotFoundError
from tests.support.gateways import RunningGateway, at

NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
COUNT = 40
NAMES = [f"f{number:03}" for number in range(COUNT)]

random_bytes = random.Random(0).randbytes


def content_of(name: str) -> bytes:
    return name.encode() * 500


@pytest.fixture(scope="module")
def folders(served: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield folders with the same small files, as another client has put them."""
    local = tmp_path_factory.mktemp("folders")
    names = [f"folder{number}" for number in range(1, 10)]
    for name in names:
        (local / name).mkdir()
        for one in NAMES:
            (local / name / one).write_bytes(content_of(one))
    served.client.quick("put", *(str(local / name) for name in names), "/").ok()
    return iter(names)


@pytest.fixture
def folder(folders: Iterator[str]) -> str:
    """Return a folder that no other test uses."""
    return next(folders)


def requests_so_far(running: RunningGateway) -> int:
    def look(session: Session) -> int:
        return session.connection._request

    return running.parts.backend.sessions.tree.do(look)


def read(files: Filesystem, path: str) -> bytes:
    handle = files.opened.open(at(path), OpenFlag.READ)
    try:
        return files.opened.read(handle, 0, 1 << 20)
    finally:
        files.opened.close(handle)


def names_in(files: Filesystem, folder: str) -> list[str]:
    return [name for name, _ in reversed(files.listing(at(folder)))]


def test_files_that_are_read_in_the_order_of_the_listing_take_few_requests(running, folder):
    files = running.filesystem()
    names = names_in(files, folder)
    before = requests_so_far(running)
    for name in names:
        assert read(files, f"{folder}/{name}") == content_of(name)
    assert requests_so_far(running) - before < COUNT / 2


def test_files_that_are_read_in_another_order_are_not_received_ahead(running, folder):
    files = running.filesystem()
    before = running.parts.backend.ahead.size
    for name in reversed(names_in(files, folder)):
        assert read(files, f"{folder}/{name}") == content_of(name)
        assert running.parts.backend.ahead.size == before


def test_a_file_that_was_received_ahead_is_opened_in_its_newest_version(running, folder):
    files = running.filesystem()
    for name in names_in(files, folder)[:5]:
        read(files, f"{folder}/{name}")
    path = f"{folder}/{NAMES[6]}"
    handle = files.opened.open(at(path), NEW)
    files.opened.write(handle, 0, b"newer")
    files.opened.close(handle)
    assert read(files, path) == b"newer"
    files.remove(at(f"{folder}/{NAMES[7]}"))
    with pytest.raises(NotFoundError):
        read(files, f"{folder}/{NAMES[7]}")


def test_a_file_that_is_emptied_as_it_is_opened_is_empty(running, folder):
    files = running.filesystem()
    for name in names_in(files, folder)[:5]:
        read(files, f"{folder}/{name}")
    handle = files.opened.open(at(f"{folder}/{NAMES[6]}"), OpenFlag.READ | OpenFlag.TRUNCATE)
    assert files.opened.read(handle, 0, 100) == b""
    files.opened.close(handle)


def test_content_that_was_received_ahead_is_verified_when_it_is_read(running, folder):
    files, backend = running.filesystem(), running.parts.backend
    for name in names_in(files, folder)[:5]:
        read(files, f"{folder}/{name}")
    received = backend.ahead.take(backend.find(at(f"{folder}/{NAMES[6]}"), follow=True))
    assert received is not None
    assert received.sealed is not None
    forged = bytearray(received.sealed)
    forged[-1] ^= 1
    stream = ReadStream(received.contents, backend.sessions, bytes(forged))
    with pytest.raises(IntegrityError):
        stream.read(0, 10)
    assert stream.read(0, 1 << 20) == content_of(NAMES[6])  # received again
    stream.close()


def test_the_memory_for_files_received_ahead_is_bounded(running, folder, monkeypatch):
    monkeypatch.setattr(read_ahead, "MOST_BYTES", 10_000)
    files, sizes = running.filesystem(), []
    for name in names_in(files, folder):
        assert read(files, f"{folder}/{name}") == content_of(name)
        sizes.append(running.parts.backend.ahead.size)
    assert 0 < max(sizes[5:]) <= 10_000


def test_files_that_were_received_ahead_long_ago_are_received_again(running, folder, monkeypatch):
    files = running.filesystem()
    for name in names_in(files, folder)[:5]:
        read(files, f"{folder}/{name}")
    monkeypatch.setattr(read_ahead, "KEPT_S", 0.0)
    node = running.parts.backend.find(at(f"{folder}/{NAMES[6]}"), follow=True)
    assert running.parts.backend.ahead.take(node) is None
    assert read(files, f"{folder}/{NAMES[6]}") == content_of(NAMES[6])


def test_large_files_in_between_are_left_out(running, folder):
    files, large = running.filesystem(), random_bytes(300_000)
    handle = files.opened.open(at(f"{folder}/{NAMES[6]}"), NEW)
    files.opened.write(handle, 0, large)
    files.opened.close(handle)
    for name in names_in(files, folder)[:12]:
        wanted = large if name == NAMES[6] else content_of(name)
        assert read(files, f"{folder}/{name}") == wanted

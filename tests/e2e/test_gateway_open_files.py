"""Open files of the gateway: what renames, removals, links and lost clients do to them."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fsclient.connection.retry import Timeouts
from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.handles import ReadHandle, WriteHandle
from fsclient.gateway.open_write import MOST_HOLES
from fsclient.gateway.read_memory import ReadMemory
from fsclient.gateway.staging import BLOCK, WARM_OF_ALL
from fsclient.session.session import Session
from fskit.sftp.codes import OpenFlag, Request
from fskit.sftp.packets import Attributes, packet, string, u32
from fskit.sftp.status import InvalidRequestError
from fsproto.errors import ExistsError, NotFoundError, OutOfSpaceError, Unreachable
from tests.support.client_processes import Client
from tests.support.gateways import RunningGateway, at, gateway
from tests.support.sftp_requests import GatewayRequests

NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
LARGER_THAN_A_MESSAGE = 300_000


@pytest.fixture
def files(served: RunningGateway) -> Filesystem:
    return served.filesystem()


@pytest.fixture
def others(served: RunningGateway) -> Filesystem:
    """The same tree, as another program sees it."""
    return served.filesystem()


@pytest.fixture
def room(files: Filesystem, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name[:100]
    files.make_folder(at(name))
    return name


def started(files: Filesystem, *path: str, data: bytes = b"started") -> WriteHandle:
    """Return the handle of a file that is being written."""
    handle = files.opened.open(at(*path), NEW)
    assert isinstance(handle, WriteHandle)
    files.opened.write(handle, 0, data)
    return handle


def put(files: Filesystem, *path: str, data: bytes) -> None:
    files.opened.close(started(files, *path, data=data))


def content(files: Filesystem, *path: str) -> bytes:
    handle = files.opened.open(at(*path), OpenFlag.READ)
    found = b""
    while piece := files.opened.read(handle, len(found), 200_000):
        found += piece
    files.opened.close(handle)
    return found


def names(files: Filesystem, *path: str) -> list[str]:
    return [name for name, _ in reversed(files.listing(at(*path)))]


# --- renames and removals


def test_a_renamed_folder_takes_its_open_files_along(files, others, room):
    files.make_folder(at(room, "d"))
    files.make_folder(at(room, "d/deep"))
    put(files, room, "d/old", data=b"old content")
    new = started(files, room, "d/deep/new")
    old = started(files, room, "d/old", data=b"new content")
    reads = files.opened.open(at(room, "d/old"), OpenFlag.READ)
    files.rename(at(room, "d"), at(room, "d2"), replacing=True)
    files.opened.write(new, 7, b", later")
    assert names(files, room, "d2/deep") == ["new"]
    assert files.opened.read(reads, 0, 100) == b"new content"
    files.set_attributes_of(reads, Attributes(times=(7, 7)))
    for handle in (new, old, reads):
        files.opened.close(handle)
    assert content(others, room, "d2/deep/new") == b"started, later"
    assert content(others, room, "d2/old") == b"new content"
    assert others.facts(at(room, "d2/old")).mtime_ns == 7 * 10**9
    assert names(others, room) == ["d2"]


def test_a_folder_is_never_moved_into_one_below_it_whatever_is_open_there(files, room):
    files.make_folder(at(room, "d"))
    files.make_folder(at(room, "d/deep"))
    handle = started(files, room, "d/deep/new")
    for new in ("d/deep", "d/deep/new", "d/deep/other"):
        with pytest.raises(InvalidRequestError, match="into itself"):
            files.rename(at(room, "d"), at(room, new), replacing=True)
    files.opened.close(handle)
    assert content(files, room, "d/deep/new") == b"started"


def test_a_replaced_file_is_written_to_nobody(files, others, room):
    put(files, room, "a", data=b"a")
    replaced = started(files, room, "b", data=b"written to the replaced file")
    files.rename(at(room, "a"), at(room, "b"), replacing=True)
    files.opened.write(replaced, 0, b"and more of it")
    files.opened.close(replaced)
    assert (names(others, room), content(others, room, "b")) == (["b"], b"a")


def test_a_reader_that_closes_early_takes_nothing_from_a_file_that_is_published(
    served, files, others, room
):
    data = bytes(range(256)) * (LARGER_THAN_A_MESSAGE // 256)
    writes = started(files, room, "f", data=data)
    reads = files.opened.open(at(room, "f"), OpenFlag.READ)
    go_on = threading.Event()
    busy = served.parts.backend.sessions.tree.start(lambda _: go_on.wait(60))
    assert files.opened.waits_at_close(writes)
    with ThreadPoolExecutor() as pool:
        closing = pool.submit(files.opened.close, writes)
        while writes.writing.writers:  # until the close waits for the session
            assert not closing.done()
        files.opened.close(reads)
        go_on.set()
        assert busy.result()
        closing.result()
    assert content(others, room, "f") == data


def test_a_reader_sees_what_its_own_program_writes_later(files, others, room):
    put(files, room, "log", data=b"one\n")
    reads = files.opened.open(at(room, "log"), OpenFlag.READ)
    elsewhere = others.opened.open(at(room, "log"), OpenFlag.READ)
    for line in (b"two\n", b"three\n"):
        writes = files.opened.open(at(room, "log"), OpenFlag.WRITE | OpenFlag.APPEND)
        files.opened.write(writes, 0, line)
        files.opened.close(writes)
    assert files.opened.read(reads, 0, 100) == b"one\ntwo\nthree\n"
    assert files.facts_of(reads).size == 14
    assert others.opened.read(elsewhere, 0, 100) == b"one\n"
    files.opened.close(reads)
    others.opened.close(elsewhere)


def test_a_write_during_an_fsync_is_in_the_next_version(served, files, others, room):
    handle = started(files, room, "f")
    go_on = threading.Event()
    served.parts.backend.sessions.tree.start(lambda _: go_on.wait(60))
    with ThreadPoolExecutor() as pool:
        syncing = pool.submit(files.opened.start_sync(handle))
        while not served.parts.backend.publisher.commits._queue:  # its content was read
            assert not syncing.done()
        files.opened.write(handle, 7, b", later")
        files.set_attributes_of(handle, Attributes(permissions=0o755))
        go_on.set()
        syncing.result()
    assert content(others, room, "f") == b"started"
    files.opened.close(handle)
    assert content(others, room, "f") == b"started, later"
    assert others.facts(at(room, "f")).mode & 0o100


# --- paths through links


@pytest.fixture
def linked(files: Filesystem, room: str) -> str:
    """The path of a link to a folder that has a file, and a file that is new and open."""
    files.make_folder(at(room, "real"))
    put(files, room, "real/there", data=b"there")
    files.make_link(at(room, "link"), b"real")
    return f"{room}/link"


def test_a_file_is_renamed_through_a_link_to_its_folder(files, others, room, linked):
    handles = [started(files, room, "real/new"), started(files, room, "real/there")]
    for name in ("new", "there"):
        files.rename(at(linked, name), at(linked, f"{name}-2"), replacing=False)
        assert files.facts(at(linked, f"{name}-2")).size == 7
    with pytest.raises(ExistsError):
        files.rename(at(linked, "new-2"), at(room, "real/there-2"), replacing=False)
    for handle in handles:
        files.opened.close(handle)
    assert names(others, room, "real") == ["new-2", "there-2"]


def test_a_file_is_removed_through_a_link_to_its_folder(files, others, room, linked):
    handles = [started(files, room, "real/new"), started(files, room, "real/there")]
    for name in ("new", "there"):
        files.remove(at(linked, name))
    for handle in handles:
        files.opened.close(handle)
    assert names(others, room, "real") == []


@pytest.mark.parametrize("name", ["new", "there"])
def test_nothing_is_made_through_a_link_where_a_file_is_being_written(files, room, linked, name):
    handle = started(files, room, "real", name)
    for make in (
        lambda: files.make_folder(at(linked, name)),
        lambda: files.make_link(at(linked, name), b"x"),
        lambda: files.opened.open(at(linked, name), NEW | OpenFlag.EXCLUSIVE),
    ):
        with pytest.raises(ExistsError):
            make()
    files.set_attributes(at(linked, name), Attributes(size=3))
    files.opened.close(handle)
    assert content(files, linked, name) == b"sta"


# --- a handle is of a file, not of a path


def another_moves_it(others: Filesystem, room: str) -> None:
    others.rename(at(room, "f"), at(room, "g"), replacing=True)


def another_replaces_it(others: Filesystem, room: str) -> None:
    put(others, room, "h", data=b"another file")
    others.rename(at(room, "h"), at(room, "f"), replacing=True)


@pytest.mark.parametrize("act", [another_moves_it, another_replaces_it])
def test_attributes_of_a_handle_never_go_to_another_file(
    files, others, room, act: Callable[[Filesystem, str], None]
):
    put(files, room, "f", data=b"content")
    reads = files.opened.open(at(room, "f"), OpenFlag.READ)
    act(others, room)
    with pytest.raises(NotFoundError):
        files.set_attributes_of(reads, Attributes(times=(7, 7)))
    assert others.facts(at(room, names(others, room)[0])).mtime_ns != 7 * 10**9
    files.opened.close(reads)


def test_attributes_of_a_handle_stay_with_it_after_its_own_program_moved_the_file(files, room):
    for name in ("f", "other"):
        put(files, room, name, data=b"content")
    reads = files.opened.open(at(room, "f"), OpenFlag.READ)
    files.rename(at(room, "f"), at(room, "g"), replacing=True)
    files.rename(at(room, "other"), at(room, "f"), replacing=True)
    files.set_attributes_of(reads, Attributes(times=(7, 7)))
    assert files.facts_of(reads).mtime_ns == files.facts(at(room, "g")).mtime_ns == 7 * 10**9
    assert files.facts(at(room, "f")).mtime_ns != 7 * 10**9
    files.remove(at(room, "g"))
    files.set_attributes_of(reads, Attributes(times=(9, 9)))  # the file has no path any longer
    assert files.facts_of(reads).mtime_ns == 9 * 10**9
    assert isinstance(reads, ReadHandle)
    files.opened.close(reads)


# --- holes


def test_a_file_of_holes_is_refused_before_anything_is_sent(files, others, room):
    handle = files.opened.open(at(room, "sparse"), NEW)
    files.opened.write(handle, 4 << 30, b"x")
    with pytest.raises(OutOfSpaceError, match="never written"):
        files.opened.close(handle)
    put(files, room, "there", data=b"content")
    with pytest.raises(OutOfSpaceError, match="never written"):
        files.set_attributes(at(room, "there"), Attributes(size=MOST_HOLES + (1 << 20)))
    assert (names(others, room), content(others, room, "there")) == (["there"], b"content")


# --- memory


def test_hundreds_of_files_that_are_being_written_share_a_bounded_memory(served, files, room):
    area = served.parts.backend.staging
    handles = [started(files, room, f"f{n}", data=bytes(4 * BLOCK)) for n in range(300)]
    in_memory = sum(len(handle.writing._staged._warm) for handle in handles)
    assert in_memory <= WARM_OF_ALL + len(handles)
    assert area._left == WARM_OF_ALL - in_memory
    files.opened.abandon(handles)
    assert area._left == WARM_OF_ALL


def test_files_that_are_being_read_share_a_bounded_memory(served, files, room, monkeypatch):
    memory = ReadMemory(most=4)
    monkeypatch.setattr(served.parts.backend.sessions, "memory", memory)
    data = random.Random(3).randbytes(5 << 19)
    put(files, room, "f", data=data)
    handles = [files.opened.open(at(room, "f"), OpenFlag.READ) for _ in range(7)]
    for offset in range(0, len(data), 200_000):
        for handle in handles:
            assert files.opened.read(handle, offset, 200_000) == data[offset : offset + 200_000]
    assert len(memory) <= 4
    for handle in handles:
        files.opened.close(handle)
    assert len(memory) == 0


def test_files_that_were_opened_and_closed_leave_nothing_in_memory(served, files, room):
    put(files, room, "f", data=b"content")
    for _ in range(50):
        reads = files.opened.open(at(room, "f"), OpenFlag.READ)
        writes = files.opened.open(at(room, "f"), OpenFlag.WRITE)
        files.opened.write(writes, 0, b"changed")
        files.opened.close(writes)
        files.opened.close(reads)
    places = files.opened.places
    assert (places._writings, places._readers) == ({}, set())
    assert served.parts.backend.staging._left == WARM_OF_ALL


# --- clients and servers that are gone


class Vanished(GatewayRequests):
    """A client to which nothing can be sent any longer, once `gone` is set."""

    gone = False

    def __init__(self, files: Filesystem, folder: str) -> None:
        super().__init__(files, folder)
        send = self._answers.put

        def deliver(data: bytes) -> None:
            if self.gone:
                raise EOFError
            send(data)

        self.session._send = deliver


@pytest.mark.cases(1)
@pytest.mark.parametrize("packets", [("stat", "close"), ("close", "close"), ("fsync", "close")])
def test_a_client_that_vanishes_behind_its_close_leaves_nothing_behind(
    served, files, others, room, packets
):
    client = Vanished(files, room)
    client.start()
    handles = [client.open(name, NEW)[1] for name in ("a", "b")]
    for handle in handles:
        client.write(handle, 0, b"content")
    requests = {
        "stat": packet(Request.STAT, u32(90), client.path("a")),
        "fsync": packet(Request.EXTENDED, u32(90), string("fsync@openssh.com"), string(handles[0])),
    }
    client.gone = True
    feed = b""
    for name in packets:
        feed += requests.get(name) or packet(Request.CLOSE, u32(91), string(handles.pop(0)))
    for data in (feed, packet(Request.STAT, u32(92), client.path("a"))):
        with contextlib.suppress(EOFError):
            client.session.feed(data)
    client.session.end()
    assert names(others, room)[0] == "a"
    assert client.told == []
    assert files.opened.places._writings == {}
    assert not files.opened.places._readers


FAST = Timeouts(connect_s=2.0, silence_s=2.0, give_up_s=2.0, first_pause_s=0.1)


def test_requests_that_wait_for_a_stopped_server_fail_together(server, tmp_path: Path):
    person = Client(server, "alice", tmp_path / "alice").enrol()
    with gateway(person, patience=FAST) as running:
        files = running.filesystem()
        for number in range(8):
            put(files, f"f{number}", data=b"content")
        server.process.send_signal(signal.SIGSTOP)
        try:
            since = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(files.remove, at(f"f{number}")) for number in range(8)]
            took_s = time.monotonic() - since
            for one in waiting:
                with pytest.raises(Unreachable):
                    one.result()
        finally:
            server.process.send_signal(signal.SIGCONT)
        # Silence, attempts to connect again, and the last of these: not for each request again.
        assert took_s < 2 * (FAST.silence_s + FAST.give_up_s + FAST.connect_s)
        files.remove(at("f0"))


def test_a_session_of_the_gateway_waits_no_longer_than_programs_do(served):
    def silence(session: Session) -> float | None:
        limit: float | None = session.connection._socket.gettimeout()
        return limit

    assert served.parts.backend.sessions.tree.do(silence) == 20.0

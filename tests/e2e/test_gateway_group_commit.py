"""Group commit of the gateway: closes that wait together, on a real server."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.keys import ALIAS
from fsclient.session.session import Session
from fskit.sftp.codes import OpenFlag
from fsproto.errors import ConflictError, NotFoundError
from tests.support.gateways import RunningGateway, at, gateway, needed
from tests.support.world import until

NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE

random_bytes = random.Random(0).randbytes


@pytest.fixture
def served(newcomer) -> Iterator[RunningGateway]:
    with gateway(newcomer().enrol()) as running:
        yield running


def written(files: Filesystem, path: str, content: bytes):
    """Return an open handle of a written file."""
    handle = files.opened.open(at(path), NEW)
    files.opened.write(handle, 0, content)
    return handle


@contextmanager
def held(served: RunningGateway) -> Iterator[None]:
    """Keep the worker that commits busy, so that everything in the block waits together."""
    runs, ends = threading.Event(), threading.Event()

    def hold(_: Session) -> None:
        runs.set()
        assert ends.wait(30)

    busy = served.parts.backend.sessions.tree.start(hold)
    assert runs.wait(30)
    try:
        yield
    finally:
        ends.set()
        busy.result(30)


def together(served: RunningGateway, works: list[Callable[[], None]]) -> list[BaseException | None]:
    """Run closes so that they wait together, in this order; return the error of each."""
    queue = served.parts.backend.publisher.commits._queue
    with ThreadPoolExecutor(len(works)) as threads:
        running: list[Future[None]] = []
        with held(served):
            for number, work in enumerate(works, 1):
                running.append(threads.submit(work))
                until(lambda: len(queue) >= number, "a close waits")  # noqa: B023 - called at once
        return [one.exception(30) for one in running]


def versions(served: RunningGateway, folder: str) -> dict[str, int]:
    rows = served.client.quick("ls", "--json", folder).json()
    return {row["name"]: row["version"] for row in rows}


def folder_version(served: RunningGateway, folder: str) -> int:
    """Return the version of a folder's state: each commit in it adds one."""

    def look(session: Session) -> int:
        node = served.parts.backend.walker.find(session, at(folder), follow=True).folder()
        return session.tree.view(node.keyed, node.keyed.tokens("none")).state.body.version

    return served.parts.backend.sessions.tree.do(look)


def test_closes_that_wait_together_are_one_commit(served):
    files = served.filesystem()
    files.make_folder(at("room"))
    handles = [written(files, f"room/f{n}", b"%d" % n) for n in range(20)]
    before = folder_version(served, "room")
    failed = together(served, [partial(files.opened.close, one) for one in handles])
    assert failed == [None] * 20
    assert folder_version(served, "room") == before + 1
    for n in range(20):
        assert served.client.cat(f"room/f{n}") == b"%d" % n


def test_one_file_that_another_client_has_changed_fails_alone(served):
    files = served.filesystem()
    files.make_folder(at("room"))
    handles = [written(files, f"room/f{n}", b"mine") for n in range(6)]
    local = served.client.folder / "theirs"
    local.write_bytes(b"theirs")
    served.client.run("put", str(local), "room/f3").ok()
    failed = together(served, [partial(files.opened.close, one) for one in handles])
    assert [type(one) for one in failed] == [
        *[type(None)] * 3, ConflictError, *[type(None)] * 2
    ]  # fmt: skip
    contents = [served.client.cat(f"room/f{n}") for n in range(6)]
    assert contents == [*[b"mine"] * 3, b"theirs", *[b"mine"] * 2]


def test_a_file_whose_folder_is_gone_fails_alone(served):
    files = served.filesystem()
    for name in ("stays", "goes"):
        files.make_folder(at(name))
    good, bad = written(files, "stays/f", b"good"), written(files, "goes/f", b"bad")
    served.client.run("rm", "-r", "goes").ok()
    failed = together(served, [lambda: files.opened.close(bad), lambda: files.opened.close(good)])
    assert isinstance(failed[0], NotFoundError | ConflictError)
    assert failed[1] is None
    assert served.client.cat("stays/f") == b"good"


def test_of_two_closes_of_one_path_the_first_counts_and_the_second_is_refused(served):
    first, second = served.filesystem(), served.filesystem()
    one, other = written(first, "f", b"first"), written(second, "f", b"second")
    more = written(second, "g", b"after")
    failed = together(
        served,
        [
            lambda: first.opened.close(one),
            lambda: second.opened.close(other),
            lambda: second.opened.close(more),
        ],
    )
    assert failed[0] is None
    assert isinstance(failed[1], ConflictError)
    assert failed[2] is None
    assert served.client.cat("f") == b"first"
    assert versions(served, "/")["f"] == 1


def test_a_client_that_vanishes_in_the_middle_takes_no_other_file_with_it(served):
    with served.sftp() as sftp, served.sftp() as other:
        kept, cut = sftp.open("kept", "w"), other.open("cut", "w")
        kept.write(b"whole")
        cut.write(b"half")
        with held(served):
            ends = threading.Thread(target=kept.close)
            ends.start()
            channel = other.get_channel()
            assert channel is not None
            channel.get_transport().sock.shutdown(socket.SHUT_RDWR)
        ends.join(30)
    assert served.client.cat("kept") == b"whole"
    assert "cut" not in served.client.names()


def test_what_another_client_removes_and_makes_is_seen(served):
    files = served.filesystem()
    files.make_folder(at("room"))
    files.opened.close(written(files, "room/f", b"1"))
    served.client.run("rm", "room/f").ok()
    local = served.client.folder / "new"
    local.write_bytes(b"new")
    served.client.run("put", str(local), "room/new").ok()
    until(lambda: is_missing(files, "room/f"), "the removed file is gone")
    until(lambda: not is_missing(files, "room/new"), "the new file is there")


def is_missing(files: Filesystem, path: str) -> bool:
    try:
        files.facts(at(path))
    except NotFoundError:
        return True
    return False


def test_a_close_that_was_answered_survives_the_end_of_the_gateway_by_force(newcomer, tmp_path):
    needed("sftp")
    client = newcomer().enrol()
    source = tmp_path / "source"
    source.mkdir()
    for number in range(10):
        (source / f"f{number}").write_bytes(random_bytes(4096))
    process = client.start("gateway", "--listen", "127.0.0.1:0")
    try:
        assert process.stdout is not None
        assert b"ready" in process.stdout.readline()
        config = next(client.home.rglob("gateway/ssh_config"))
        sftp = ["sftp", "-q", "-F", str(config), "-b", "-", ALIAS]
        done = subprocess.run(
            sftp, input=f"put -r {source} copy\n", text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    for file in source.iterdir():
        assert client.cat(f"copy/{file.name}") == file.read_bytes()

"""Opened segments are written in order, and none after a missing one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from fsclient.transfer.down.write_behind import WriteBehind
from fsclient.transfer.report.progress import Progress
from fsclient.transfer.segments import Buffers
from fsclient.transfer.workers import WorkerPool
from fsclient.ui import Screen, Ui
from fsproto.errors import IntegrityError, OutOfSpaceError

PIECES = [b"one ", b"two ", b"three ", b"four"]


class Target(bytearray):
    """A target that stores writes, but raises `OutOfSpaceError` for the content `without`."""

    def __init__(self, without: bytes = b"") -> None:
        self.without = without

    def write(self, data: bytes | memoryview, /) -> None:
        if bytes(data) == self.without:
            raise OutOfSpaceError("There is no room.")
        self.extend(data)


@pytest.fixture(params=["beside", "at once"])
def thread(request: pytest.FixtureRequest) -> Iterator[WorkerPool | None]:
    """A pool with one writer thread, or none."""
    threads = WorkerPool(1, "write") if request.param == "beside" else None
    yield threads
    if threads is not None:
        threads.close()


def writing(
    target: Target, thread: WorkerPool | None
) -> tuple[WriteBehind, list[Future[memoryview]]]:
    """Return a writer, and a future for each piece, to be set once the piece is opened."""
    progress = Progress(Ui(as_json=False, quiet=True, screen=Screen()), "get", "got")
    buffers, opened = Buffers(), [Future[memoryview]() for _ in PIECES]
    new = WriteBehind(target, progress.begin_file("x", 18), buffers, thread)
    for one in opened:
        new.add(buffers.take(), one)
    return new, opened


def test_segments_are_written_in_order_whatever_is_opened_first(thread):
    target = Target()
    new, opened = writing(target, thread)
    for one, piece in reversed(list(zip(opened, PIECES, strict=True))):
        one.set_result(memoryview(piece))
    new.finish()
    assert bytes(target) == b"".join(PIECES)
    assert len(new) == 0


def test_nothing_is_written_behind_a_segment_that_does_not_open(thread):
    target = Target()
    new, opened = writing(target, thread)
    for one, piece in zip(opened, PIECES, strict=True):
        one.set_result(memoryview(piece)) if piece != b"two " else one.set_exception(
            IntegrityError("damaged")
        )
    with pytest.raises(IntegrityError):
        new.finish()
    new.stop()
    assert bytes(target) == b"one "


def test_nothing_is_written_behind_a_segment_that_found_no_room(thread):
    target = Target(without=b"three ")
    new, opened = writing(target, thread)
    for one, piece in zip(opened, PIECES, strict=True):
        one.set_result(memoryview(piece))
    with pytest.raises(OutOfSpaceError):
        new.finish()
    new.stop()
    assert bytes(target) == b"one two "


def test_what_was_stopped_writes_no_more(thread):
    target = Target()
    new, opened = writing(target, thread)
    opened[0].set_result(memoryview(PIECES[0]))
    new.see_to_first()
    for one, piece in zip(opened[1:], PIECES[1:], strict=True):
        one.set_result(memoryview(piece))
    new.stop()
    written = bytes(target)
    assert b"".join(PIECES).startswith(written)
    assert written.startswith(PIECES[0])

"""What waits for slow clients: counted in memory, and the rest in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsd.net.waiting import FREE, WaitingBytes, WaitingFrame
from fsproto.errors import ConnectionLost
from fsproto.limits import MAX_RECORD
from fsproto.wire.frames import Frame
from tests.support.fixed_keys import stretch


def frame(body: bytes) -> Frame:
    buffer = bytearray(body)
    return Frame(b"head", memoryview(buffer), buffer)


def waits(waiting: WaitingBytes, body: bytes) -> WaitingFrame:
    return waiting.frame(frame(body)) or waiting.stored_frame(frame(body))


def files_without_a_name(folder: Path) -> int:
    """Return how many open files of this process were in a folder and have no name."""
    links = (str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return sum(1 for link in links if link.startswith(f"{folder}/") and "(deleted)" in link)


def test_small_records_wait_in_memory_and_are_not_counted(tmp_path: Path) -> None:
    waiting = WaitingBytes(tmp_path, 0)
    assert waits(waiting, bytes(FREE)).in_memory
    assert not waits(waiting, bytes(FREE + 1)).in_memory


def test_only_so_many_bytes_wait_in_memory(tmp_path: Path) -> None:
    waiting = WaitingBytes(tmp_path, 10_000)
    kept = [waits(waiting, stretch(f"{n}", 4000)) for n in range(5)]
    assert [one.in_memory for one in kept] == [True, True, False, False, False]
    assert [bytes(one.take().body) for one in kept] == [stretch(f"{n}", 4000) for n in range(5)]
    assert waits(waiting, bytes(10_000)).in_memory  # all are given back


@pytest.mark.parametrize("most", [0, 1 << 20])
def test_a_record_is_taken_once_and_frees_its_room_in_any_case(tmp_path: Path, most: int) -> None:
    waiting = WaitingBytes(tmp_path, most)
    taken, dropped, forgotten = (waits(waiting, bytes(3000)) for _ in range(3))
    taken.take()
    with pytest.raises(ConnectionLost):
        taken.take()
    dropped.drop()
    dropped.drop()
    with pytest.raises(ConnectionLost):
        dropped.take()
    del forgotten  # as by a task that was cancelled
    assert waiting.hold(most)
    assert files_without_a_name(tmp_path) == 0


def test_the_file_has_no_name_and_is_closed_when_nothing_waits(tmp_path: Path) -> None:
    waiting = WaitingBytes(tmp_path, 0)
    kept = [waits(waiting, bytes(MAX_RECORD)) for _ in range(3)]
    assert list(tmp_path.iterdir()) == []
    assert files_without_a_name(tmp_path) == 1
    for one in kept:
        one.drop()
    assert files_without_a_name(tmp_path) == 0


def test_a_place_is_not_used_by_two(tmp_path: Path) -> None:
    waiting = WaitingBytes(tmp_path, 0)
    mine, other = waiting.slot(), waiting.slot()
    mine.write(b"mine")
    mine.give_back()
    mine.give_back()
    first, second = waiting.slot(), waiting.slot()
    for slot, data in ((first, b"1st"), (second, b"2nd"), (other, b"3rd")):
        slot.write(data)
    room = bytearray(3)
    for slot, data in ((first, b"1st"), (second, b"2nd"), (other, b"3rd")):
        slot.read_into(memoryview(room))
        assert room == data
    with pytest.raises(ConnectionLost):
        mine.write(b"too late")
    with pytest.raises(ConnectionLost):
        mine.read_into(memoryview(room))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6000)), max_size=30), st.data())
def test_each_gets_its_own_bytes_back(steps: list[tuple[bool, int]], data: st.DataObject) -> None:
    waiting = WaitingBytes(None, 8000)
    kept: list[tuple[bytes, WaitingFrame]] = []
    for number, (adds, size) in enumerate(steps):
        if adds or not kept:
            body = stretch(f"{number}", size)
            kept.append((body, waits(waiting, body)))
        else:
            body, one = kept.pop(data.draw(st.integers(0, len(kept) - 1)))
            assert one.take().body == body
    for body, one in kept:
        assert one.take().body == body
    assert waiting.hold(8000)

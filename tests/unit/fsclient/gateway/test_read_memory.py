"""The memory of files that are being read: the segments received last stay."""

from __future__ import annotations

from fsclient.gateway.read_memory import ReadMemory


class Stream:
    """A stream that notes what it had to discard."""

    def __init__(self) -> None:
        self.dropped: list[int] = []

    def drop(self, index: int) -> None:
        self.dropped.append(index)


def add(memory: ReadMemory, stream: Stream, index: int) -> None:
    for one, old in memory.add(stream, index):
        one.drop(old)


def test_the_oldest_segments_of_all_streams_make_room():
    memory, one, other = ReadMemory(most=3), Stream(), Stream()
    for index in range(2):
        add(memory, one, index)
        add(memory, other, index)
    assert (one.dropped, other.dropped, len(memory)) == ([0], [], 3)
    add(memory, other, 0)  # received again: it is the newest
    add(memory, one, 2)
    assert (one.dropped, other.dropped, len(memory)) == ([0, 1], [], 3)


def test_what_a_stream_has_discarded_makes_room():
    memory, one = ReadMemory(most=2), Stream()
    add(memory, one, 0)
    add(memory, one, 1)
    memory.remove(one, 0, 7)
    add(memory, one, 2)
    assert (one.dropped, len(memory)) == ([], 2)

"""Staged files: writes at any offset, in any order, and no plaintext on the disk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fsclient.gateway.staging import BLOCK, LARGEST, WARM, Staged, StagingArea
from fsproto.errors import IntegrityError, OutOfSpaceError


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_written_cut_and_read_in_whatever_order_is_as_in_memory(seed, tmp_path):
    draw = random.Random(seed)
    base = draw.randbytes(BLOCK * 3 + 77)
    model = bytearray(base)
    staged = Staged(
        StagingArea(tmp_path), size=len(base), base=lambda at, size: base[at : at + size]
    )
    for _ in range(120):
        offset = draw.randrange(BLOCK * (WARM + 8))
        match draw.choice(("write", "write", "read", "truncate")):
            case "write":
                data = draw.randbytes(draw.choice((1, 1000, BLOCK, BLOCK + 1)))
                model.extend(bytes(max(0, offset - len(model))))
                model[offset : offset + len(data)] = data
                staged.write(offset, data)
            case "read":
                assert staged.read(offset, 5000) == model[offset : offset + 5000]
            case "truncate":
                size = draw.choice((offset, len(model), offset // 2))
                model = bytearray(bytes(model[:size]).ljust(size, b"\0"))
                staged.truncate(size)
        assert staged.size == len(model)
    assert staged.read(0, len(model) + 1) == model
    staged.close()


def _seen_on_disk(staged: Staged) -> bytes:
    assert staged._file is not None
    staged._file.seek(0)
    return staged._file.read()


def test_what_reaches_the_disk_is_sealed_and_has_no_name(tmp_path):
    staged = Staged(StagingArea(tmp_path))
    for index in range(WARM + 4):
        staged.write(index * BLOCK, b"attack at dawn" * (BLOCK // 14))
    assert len(_seen_on_disk(staged)) > 3 * BLOCK
    assert b"attack" not in _seen_on_disk(staged)
    assert list(tmp_path.iterdir()) == []
    assert staged.read(0, 14) == b"attack at dawn"


def test_a_small_file_never_reaches_the_disk(tmp_path):
    staged = Staged(StagingArea(tmp_path))
    staged.write(0, bytes(BLOCK * WARM))
    assert staged._file is None


def test_what_was_changed_swapped_or_brought_back_on_the_disk_is_noticed(tmp_path):
    staged = Staged(StagingArea(tmp_path))
    for index in range(2 * WARM):
        staged.write(index * BLOCK, bytes([index]) * BLOCK)
    file = staged._file
    assert file is not None
    slot = BLOCK + 16
    old = _seen_on_disk(staged)
    staged.write(0, b"newer")  # block 0 is loaded and will be sealed again
    for index in range(1, 2 * WARM):
        staged.read(index * BLOCK, 1)
    assert _seen_on_disk(staged)[:slot] != old[:slot]
    file.seek(0)
    file.write(old[:slot])
    with pytest.raises(IntegrityError):
        staged.read(0, 1)
    file.seek(0)
    file.write(old[slot : 2 * slot])
    with pytest.raises(IntegrityError):
        staged.read(0, 1)


def test_what_was_below_is_asked_for_once_and_only_where_it_is_needed(tmp_path):
    asked: list[int] = []

    def base(offset: int, size: int) -> bytes:
        asked.append(offset // BLOCK)
        return b"b" * size

    staged = Staged(StagingArea(tmp_path), size=4 * BLOCK, base=base)
    staged.write(BLOCK, b"w" * BLOCK)  # all of block 1
    staged.write(2 * BLOCK + 5, b"w")
    assert asked == [2]
    assert staged.read(2 * BLOCK, 7) == b"bbbbbwb"
    staged.read(0, 4 * BLOCK)
    for index in range(WARM + 4):
        staged.write((index + 8) * BLOCK, b"x")
    staged.read(0, 4 * BLOCK)
    assert asked == [2, 0, 3]


def test_many_files_share_the_memory_of_few(tmp_path):
    area = StagingArea(tmp_path, blocks=10)
    files = [Staged(area) for _ in range(20)]
    for start in range(0, 5 * BLOCK, BLOCK):
        for number, staged in enumerate(files):
            staged.write(start, bytes([number]) * BLOCK)
    assert sum(len(staged._warm) for staged in files) <= 10 + len(files)
    for number, staged in enumerate(files):
        assert staged.read(0, 6 * BLOCK) == bytes([number]) * 5 * BLOCK
        staged.close()
    assert area._left == 10


def test_a_hole_takes_no_room_on_the_disk_and_reads_as_zeros(tmp_path):
    staged = Staged(StagingArea(tmp_path, blocks=0))
    for offset in (LARGEST - BLOCK, 1 << 40, 0):
        staged.write(offset, b"data")
    assert len(_seen_on_disk(staged)) < 3 * (BLOCK + 16)
    assert staged.read(1 << 40, 6) == b"data\0\0"
    assert staged.holes == staged.size - 3 * BLOCK
    staged.truncate(BLOCK)
    assert (staged.holes, staged.read(0, 4)) == (0, b"data")
    staged.truncate(3 * BLOCK)
    assert staged.holes == 2 * BLOCK
    staged.write(2 * BLOCK, b"again")  # in a slot that was free
    assert (staged.holes, staged.read(2 * BLOCK - 1, 6)) == (BLOCK, b"\0again")


def test_what_is_below_counts_as_written(tmp_path):
    staged = Staged(StagingArea(tmp_path), size=BLOCK + 1, base=lambda _, size: b"b" * size)
    assert staged.holes == 0
    staged.write(9 * BLOCK, b"x")
    assert staged.holes == 6 * BLOCK + 1  # of the last block, all counts


def test_nobody_writes_behind_the_end_of_the_world(tmp_path: Path):
    staged = Staged(StagingArea(tmp_path))
    with pytest.raises(OutOfSpaceError):
        staged.write(LARGEST, b"x")
    with pytest.raises(OutOfSpaceError):
        staged.truncate(1 << 63)
    assert staged.size == 0

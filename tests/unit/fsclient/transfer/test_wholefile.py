"""Small files written from memory: like streamed files, they appear complete or not at all."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from fsclient.transfer.local.files import LocalStat
from fsclient.transfer.local.small_files import write_new, write_whole
from fsproto.errors import ConflictError, FsError, NotFoundError
from fsproto.sealed.manifest import Mode

FACTS = LocalStat(3, 1_700_000_000_123_456_789, Mode.REGULAR)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_content_time_and_mode(tmp_path):
    path = tmp_path / "x"
    write_whole(path, b"new", LocalStat(3, FACTS.mtime_ns, Mode.EXECUTABLE), follow=False)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mtime_ns == FACTS.mtime_ns
    assert path.stat().st_mode & 0o100
    write_whole(tmp_path / "empty", b"", FACTS, follow=False)
    assert (tmp_path / "empty").read_bytes() == b""
    assert names(tmp_path) == ["empty", "x"]


@pytest.mark.parametrize(
    ("before", "executable", "after"),
    [(0o600, False, 0o600), (0o600, True, 0o700), (0o755, False, 0o644), (0o640, True, 0o750)],
)
def test_a_replaced_file_is_readable_by_whom_it_was(tmp_path, before, executable, after):
    path = tmp_path / "x"
    path.touch()
    path.chmod(before)
    write_whole(path, b"", LocalStat(0, 0, Mode(executable)), follow=False)
    assert stat.S_IMODE(path.stat().st_mode) == after


@pytest.mark.parametrize(
    ("umask", "mode", "after"),
    [
        (0o022, Mode.REGULAR, 0o644),
        (0o077, Mode.REGULAR, 0o600),
        (0o027, Mode.EXECUTABLE, 0o750),
    ],
)
def test_a_new_file_is_readable_by_whom_the_umask_lets(tmp_path, umask, mode, after):
    before = os.umask(umask)
    try:
        write_new(str(tmp_path / "x"), b"new", LocalStat(3, FACTS.mtime_ns, mode))
    finally:
        os.umask(before)
    found = (tmp_path / "x").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (after, FACTS.mtime_ns)
    assert (tmp_path / "x").read_bytes() == b"new"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("mode", [Mode.REGULAR, Mode.EXECUTABLE])
def test_what_came_in_the_way_of_a_new_file_is_replaced_and_never_followed(tmp_path, mode):
    folder = tmp_path / "made"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(b"untouched")
    (folder / "link").symlink_to("../outside")
    facts = LocalStat(3, FACTS.mtime_ns, mode)
    write_new(str(folder / "link"), b"new", facts)
    assert not (folder / "link").is_symlink()
    assert (folder / "link").read_bytes() == b"new"
    assert (tmp_path / "outside").read_bytes() == b"untouched"
    (folder / "folder").mkdir()
    with pytest.raises(FsError, match="made/folder' is"):
        write_new(str(folder / "folder"), b"new", facts)
    with pytest.raises(NotFoundError, match="no' does not exist"):
        write_new(str(folder / "no" / "x"), b"", facts)
    assert names(folder) == ["folder", "link"]


def test_a_file_that_finds_no_room_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(FsError, match="may not be that large"):
            write_whole(path, bytes(2000), FACTS, follow=False)
        with pytest.raises(FsError, match="may not be that large"):
            write_new(str(tmp_path / "new"), bytes(2000), FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_a_link_is_replaced_or_followed_and_nothing_else_is(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"followed", FACTS, follow=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"followed"
    write_whole(tmp_path / "link", b"replaced", FACTS, follow=False)
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"followed"
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(ConflictError):
            write_whole(tmp_path / name, b"", FACTS, follow=False)
    with pytest.raises(NotFoundError, match="no' does not exist"):
        write_whole(tmp_path / "no" / "x", b"", FACTS, follow=False)
    assert names(tmp_path) == ["fifo", "folder", "link", "real"]

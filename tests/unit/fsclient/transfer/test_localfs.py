from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsclient.local_errors import local_errors
from fsclient.transfer.local.files import (
    LocalStat,
    children,
    fill,
    local_name,
    set_time,
    written_whole,
)
from fsclient.transfer.local.source import Source
from fsproto.errors import (
    ConflictError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
    SourceChangedError,
    UsageError,
)
from fsproto.sealed.manifest import Mode

FACTS = LocalStat(3, 1_234_567_890_123_456_700, Mode.REGULAR)


# --- names

NOT_ON_WINDOWS = [
    *("a:b", "a<b", "a>b", 'a"b', "a|b", "a?b", "a*b", "a\\b"),
    *("ends in dot.", "ends in space ", "...", ". ."),
    *("con", "CON", "Con.txt", "aux.c", "nul", "prn.x.y", "com1", "COM9.log", "lpt3", "com¹"),
    *("con .txt", "conin$", "CONOUT$"),
]
EVERYWHERE = ["a", "a b", "ünïcödé", "日本語", "console", "com10", "com", "lpt", "a.con", ".hidden"]


@pytest.mark.parametrize("name", NOT_ON_WINDOWS)
def test_what_windows_takes_for_something_else_is_no_name_there(name):
    with pytest.raises(InvalidNameError, match="Windows"):
        local_name(name, windows=True)
    assert local_name(name, windows=False) == name


@pytest.mark.parametrize("name", EVERYWHERE)
def test_other_names_are_names_everywhere(name):
    for windows in (False, True):
        assert local_name(name, windows=windows) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "a\0b", "x" * 256])
def test_what_is_no_name_in_a_tree_is_none_on_disk(name):
    for windows in (False, True):
        with pytest.raises(InvalidNameError):
            local_name(name, windows=windows)


@given(st.text(min_size=1, max_size=40))
def test_a_name_that_is_taken_lies_in_its_folder_and_nowhere_else(name):
    for windows in (False, True):
        try:
            taken = local_name(name, windows=windows)
        except InvalidNameError:
            continue
        assert (Path("/folder") / taken).parent == Path("/folder")
        assert Path(taken).name == taken


# --- reading


def test_a_source_gives_all_of_a_file_and_what_it_is_like(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"content")
    path.chmod(0o755)
    source = Source(path)
    room = memoryview(bytearray(20))
    found = path.stat()
    assert source.facts == LocalStat(7, found.st_mtime_ns, Mode.EXECUTABLE, found.st_ino)
    assert bytes(room[: source.read_into(room)]) == b"content"
    source.check_unchanged(7)
    source.close()


def test_a_file_that_grew_is_noticed_before_its_end_is_looked_for(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"line\n")
    source = Source(path)
    with path.open("ab") as log:
        log.write(b"more\n")
    with pytest.raises(SourceChangedError, match="log"):
        source.read_into(memoryview(bytearray(100)))
    source.close()


def test_a_growing_file_may_be_put_through_a_pipe(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"line\n")
    source = Source(path)
    with path.open("ab") as log:
        log.write(b"more\n")
    with pytest.raises(SourceChangedError) as caught:
        source.read_into(memoryview(bytearray(100)))
    assert "cat FILE | fsclient put - NAME" in (caught.value.hint or "")
    source.close()


@pytest.mark.parametrize("seconds", [1 << 80, -1 << 80])
def test_a_time_that_the_system_cannot_set_is_called_so(tmp_path, seconds):
    path = tmp_path / "x"
    path.touch()
    with pytest.raises(NotAllowedError, match=r"x' has a time that"), local_errors(path):
        set_time(path, seconds * 10**9)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_an_ordinary_file_is_as_long_as_its_size(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(bytes(size))
    source = Source(path)
    source.check_length()
    room = memoryview(bytearray(size + 1))
    assert source.read_into(room) == size
    source.check_unchanged(size)
    source.close()


@pytest.mark.parametrize("how", ["shorter", "touched", "rewritten"])
def test_a_file_that_changed_is_noticed_at_its_end(tmp_path, how):
    path = tmp_path / "x"
    path.write_bytes(b"content")
    os.utime(path, ns=(0, 1))
    source = Source(path)
    match how:
        case "shorter":
            os.truncate(path, 3)
        case "touched":
            os.utime(path, ns=(0, 2))
        case "rewritten":
            path.write_bytes(b"CONTENT")
    room = memoryview(bytearray(8))
    with pytest.raises(SourceChangedError):
        source.check_unchanged(source.read_into(room))
    source.close()


def test_a_special_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="not a regular file"):
        Source(tmp_path / "fifo")
    with pytest.raises(NotFoundError):
        Source(tmp_path / "nothing")


def test_entries_of_a_folder_are_distinguished(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert [(child.name, child.kind) for child in children(tmp_path)] == [
        ("file", "file"),
        ("folder", "folder"),
        ("link", "link"),
        ("pipe", "special file"),
    ]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(0, 300))
def test_a_pipe_is_read_until_there_is_enough_or_it_ends(pieces, size):
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123 - it has no path
        with open(writing, "wb", buffering=0) as writer:  # noqa: PTH123
            writer.writelines(pieces)
        room = memoryview(bytearray(size))
        content = b"".join(pieces)
        assert bytes(room[: fill(room, pipe)]) == content[:size]


# --- writing


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".fs-")]


def test_a_file_gets_its_name_time_and_mode_at_the_end(tmp_path):
    path = tmp_path / "x"
    with written_whole(path, LocalStat(3, FACTS.mtime_ns, Mode.EXECUTABLE)) as file:
        file.write(b"new")
        assert not path.exists()
        (name,) = temporary(tmp_path)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert path.read_bytes() == b"new"
    assert path.stat().st_mtime_ns == FACTS.mtime_ns
    assert path.stat().st_mode & 0o100
    assert temporary(tmp_path) == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, InvalidNameError])
def test_a_file_that_does_not_become_whole_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def write() -> None:
        with written_whole(path, FACTS) as file:
            file.write(b"ne")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert temporary(tmp_path) == []


@pytest.mark.parametrize(
    ("before", "executable", "after"),
    [(0o600, False, 0o600), (0o600, True, 0o700), (0o755, False, 0o644), (0o640, True, 0o750)],
)
def test_a_replaced_file_is_readable_by_whom_it_was(tmp_path, before, executable, after):
    path = tmp_path / "x"
    path.touch()
    path.chmod(before)
    with written_whole(path, LocalStat(0, 0, Mode(executable))):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == after


def test_links_are_followed_and_special_files_left_alone(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with written_whole(tmp_path / "link", FACTS) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConflictError), written_whole(tmp_path / "fifo", FACTS):
        pass
    nowhere = written_whole(tmp_path / "no" / "x", FACTS)
    with pytest.raises(NotFoundError, match="no' does not exist"), nowhere:
        pass

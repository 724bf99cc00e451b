from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest

from fskit import files

DEEP = 1500
"""More than the calls that Python nests."""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_replaces_another_and_is_private(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    files.write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_without_replace_the_first_file_stays(tmp_path):
    path = tmp_path / "key"
    files.write_private(path, b"first", replace=False)
    with pytest.raises(FileExistsError):
        files.write_private(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_has_no_name_until_it_is_whole(tmp_path, replace):
    path = tmp_path / "key"
    with files.whole_file(path, replace=replace) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_that_fails_leaves_nothing(tmp_path, replace):
    with pytest.raises(TypeError), files.whole_file(tmp_path / "key", replace=replace) as file:
        file.write("no bytes")  # type: ignore[call-overload]
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_is_private_and_replaces_nothing(tmp_path):
    path = tmp_path / "export"
    with files.new_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert mode(path) == 0o600
    with pytest.raises(FileExistsError), files.new_file(path):
        pass
    assert path.read_bytes() == b"whole"


def test_a_new_file_that_fails_is_deleted(tmp_path):
    with pytest.raises(TypeError), files.new_file(tmp_path / "export") as file:
        file.write("no bytes")  # type: ignore[call-overload]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="on Windows a link is followed by other rules")
def test_a_new_file_does_not_follow_a_link(tmp_path):
    (tmp_path / "export").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), files.new_file(tmp_path / "export"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_the_names_in_a_folder_that_cannot_be_read_are_not_synced(tmp_path, monkeypatch):
    def refuse(*_: object) -> int:
        raise PermissionError(13, "not for you")

    monkeypatch.setattr(os, "open", refuse)
    files.sync_folder(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="every lock on Windows is exclusive")
def test_shared_locks_exclude_only_an_exclusive_one(tmp_path):
    path = tmp_path / "lock"
    with path.open("ab") as one, path.open("ab") as two, path.open("ab") as three:
        files.lock(one.fileno(), shared=True)
        files.lock(two.fileno(), shared=True)
        with pytest.raises(BlockingIOError):
            files.lock(three.fileno())
        one.close()
        two.close()
        files.lock(three.fileno())


HOLD = """
import sys, time
from fskit import files
file = open(sys.argv[1], "ab")
files.lock(file.fileno())
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_process_that_is_killed_frees_its_lock(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with path.open("ab") as file:
            with pytest.raises(BlockingIOError):
                files.lock(file.fileno())
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            files.lock(file.fileno())


def test_a_tree_of_any_depth_is_walked_and_removed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    top = tmp_path / "top"
    deep = top.joinpath(*["d"] * DEEP)
    files.make_folders(deep)
    (deep / "file").write_bytes(b"deep")
    (top / "link").symlink_to(outside)
    below = [os.path.relpath(entry.path, top) for entry in files.everything_below(top)]
    depths = [one.count(os.sep) for one in below if one.endswith("d")]
    assert depths == list(range(DEEP))
    assert len(below) == DEEP + 2
    files.remove_tree(top)
    assert list(tmp_path.iterdir()) == [outside]
    assert (outside / "kept").read_bytes() == b"kept"

"""Local files that a manifest or another file system cannot hold as they are."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client_processes import NOT_FOUND, USAGE, Client

Nest = Callable[[Path, int], None]
LINUX = sys.platform == "linux"
EARLIEST_S, LATEST_S = -(2**63) // 10**9 + 1, 2**63 // 10**9
"""The range of times in a manifest, in whole seconds."""
FAR_TIMES = {"1601": -11_644_473_600, "1000": -30_610_224_000, "2300": 10_413_792_000,
             "9999": 253_402_300_799, "20000": 568_971_820_800}  # fmt: skip


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder on tmpfs, which stores times of 64 bits in seconds."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("no file system in memory")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def set_far_time(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds), follow_symlinks=False)
    assert int(path.lstat().st_mtime) == seconds


@pytest.mark.cases(2)
@pytest.mark.parametrize("year", FAR_TIMES)
def test_a_time_beyond_the_format_becomes_the_nearest_one(
    client: Client, memory_folder: Path, year: str
):
    seconds = FAR_TIMES[year]
    nearest = max(EARLIEST_S, min(seconds, LATEST_S))
    tree = memory_folder / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "small").write_bytes(b"small")
    (tree / "large").write_bytes(bytes(2_000_000))
    (tree / "link").symlink_to("small")
    for name in ("small", "large", "link", "inner", "."):
        set_far_time(tree / name, seconds)
    remote = f"{client.room}/tree"
    assert b"put" in client.quick("put", "-n", str(tree), remote).ok().out
    client.quick("put", str(tree), remote).ok()
    copy = memory_folder / "copy"
    client.quick("get", remote, str(copy)).ok()
    for name in ("small", "large", "link", "inner", "."):
        assert abs((copy / name).lstat().st_mtime - nearest) <= 1, name
    client.quick("ls", "-l", remote).ok()
    again = client.quick("--json", "sync", str(tree), remote).ok().json()
    assert (again["files"], again["bytes"]) == (0, 0)
    # Other tests get the whole tree of this person to a disk that may not hold such times.
    client.quick("rm", "-r", remote).ok()


@pytest.mark.cases(3)
@pytest.mark.skipif(not LINUX, reason="files of the Linux kernel")
@pytest.mark.parametrize(
    "path", ["/proc/version", "/proc/self/status", "/sys/kernel/uevent_seqnum", "/proc/mounts"]
)
@pytest.mark.parametrize("dry", [("-n",), ()])
def test_a_file_whose_size_is_not_its_length_is_to_be_piped(
    client: Client, path: str, dry: tuple[str, ...]
):
    if not Path(path).exists():
        pytest.skip("not on this system")
    ordinary = client.write("ordinary", b"ordinary")
    ran = client.quick("put", *dry, path, str(ordinary), f"{client.room}/")
    ran.fails(USAGE)
    assert "cat FILE | fsclient put - NAME" in ran.err
    assert "changed" not in ran.err
    if not dry:
        assert client.quick("cat", f"{client.room}/ordinary").ok().out == b"ordinary"
        client.quick("cat", f"{client.room}/{Path(path).name}").fails(NOT_FOUND)


@pytest.fixture
def nest() -> Iterator[Nest]:
    """Creates nested folders, deeper than one path can name if need be; removes them at the end.

    They are called `d`. `shutil` cannot remove thousands of levels.
    """
    made = []

    def make(top: Path, depth: int) -> None:
        made.append(top)
        top.mkdir(exist_ok=True)
        here = os.open(top, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)

    yield make
    for top in made:
        below = top.with_name("below")
        while (top / "d").exists():
            (top / "d").rename(below)
            shutil.rmtree(top)
            below.rename(top)


@pytest.mark.cases(1)
@pytest.mark.parametrize("depth", [500, 1_500])
def test_a_sync_removes_deeply_nested_local_folders(client: Client, nest: Nest, depth: int):
    client.write("tree/kept", b"kept")
    remote = f"{client.room}/tree"
    client.quick("put", str(client.folder / "tree"), remote).ok()
    copy = client.folder / "c"
    client.quick("get", remote, str(copy)).ok()
    nest(copy / "deep", depth)
    shown = client.quick("sync", "--down", "--delete", "-n", str(copy), remote).ok().out
    assert shown.count(b"remove ") == depth + 1
    client.quick("sync", "--down", "--delete", str(copy), remote).ok()
    assert [path.name for path in copy.iterdir()] == ["kept"]


def test_folders_too_deep_for_a_path_are_one_failure_and_the_rest_is_removed(
    client: Client, nest: Nest
):
    client.write("tree/kept", b"kept")
    remote = f"{client.room}/tree"
    client.quick("put", str(client.folder / "tree"), remote).ok()
    copy = client.folder / "c"
    client.quick("get", remote, str(copy)).ok()
    nest(copy / "deep", 2_500)
    (copy / "extra").write_bytes(b"extra")
    ran = client.quick("sync", "--down", "--delete", str(copy), remote)
    ran.fails(USAGE)
    assert len(ran.complaints) == 1
    assert "too long" in ran.err
    assert sorted(path.name for path in copy.iterdir()) == ["deep", "kept"]


@pytest.mark.cases(1)
@pytest.mark.parametrize("verb", ["put", "sync"])
def test_nested_folders_to_put_are_one_failure_and_the_rest_is_put(
    client: Client, nest: Nest, verb: str
):
    client.write("tree/kept", b"kept")
    nest(client.folder / "tree/deep", 1_500)
    remote = f"{client.room}/tree"
    ran = client.quick(verb, str(client.folder / "tree"), remote)
    ran.fails(USAGE)
    assert len(ran.complaints) == 1
    assert "deeper than" in ran.err
    assert client.quick("cat", f"{remote}/kept").ok().out == b"kept"


def test_a_get_creates_missing_folders_by_the_thousand(client: Client, nest: Nest):
    client.write("note", b"note")
    client.quick("put", str(client.folder / "note"), f"{client.room}/note").ok()
    top = client.folder / "top"
    nest(top, 0)
    to = top / Path(*["d"] * 1_500)
    client.quick("get", f"{client.room}/note", f"{to}/").ok()
    assert (to / "note").read_bytes() == b"note"


@pytest.mark.skipif(not LINUX, reason="a file system of the Linux kernel")
def test_a_name_that_the_file_system_refuses_as_missing_is_called_so(client: Client):
    client.write("tree/file", b"x")
    client.quick("put", str(client.folder / "tree"), f"{client.room}/tree").ok()
    ran = client.quick("get", f"{client.room}/tree", "/proc/tree")  # /proc takes no new names
    ran.fails(USAGE)
    assert "file system does not take" in ran.err

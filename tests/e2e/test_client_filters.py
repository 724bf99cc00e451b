"""Filters with the real client: which files put, get, sync, ls, find and du are about."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support.client_processes import CONFLICT, NOT_FOUND, USAGE, Client

FILES = {
    "a.jpg": 1000,
    "b.txt": 10,
    "old.txt": 10,
    "photos/c.jpg": 5000,
    "photos/raw/d.raw": 90_000,
    "photos/raw/deep/e.jpg": 1,
    "docs/f.txt": 20,
}
DAY_S = 86_400


@pytest.fixture
def tree(client: Client) -> Path:
    for name, size in FILES.items():
        client.write(f"tree/{name}", b"x" * size)
    (client.folder / "tree" / "hollow").mkdir()
    long_ago = time.time() - 10 * DAY_S
    os.utime(client.folder / "tree" / "old.txt", (long_ago, long_ago))
    return client.folder / "tree"


def files(folder: Path) -> list[str]:
    """Return the paths of files and, with a slash, of folders without a file."""
    found = sorted(folder.rglob("*"))
    shown = [
        path.relative_to(folder).as_posix() + "/" * path.is_dir()
        for path in found
        if not path.is_dir() or not any(path.iterdir())
    ]
    return sorted(shown)


CASES = [
    (["--include", "*.jpg"], ["a.jpg", "photos/c.jpg", "photos/raw/deep/e.jpg"]),
    (["--include", "*.jpg", "--exclude", "raw"], ["a.jpg", "photos/c.jpg"]),
    (["--include", "/docs/"], ["docs/f.txt"]),
    (["--max-size", "1k"], ["a.jpg", "b.txt", "docs/f.txt", "old.txt", "photos/raw/deep/e.jpg"]),
    (["--min-size", "2k"], ["photos/c.jpg", "photos/raw/d.raw"]),
    (["--older-than", "7d"], ["old.txt"]),
    (["--newer-than", "7d", "--include", "*.txt"], ["b.txt", "docs/f.txt"]),
    (["--filter-from", "rules"], ["docs/f.txt", "photos/c.jpg"]),
]


@pytest.mark.cases(3)
@pytest.mark.parametrize(("options", "found"), CASES)
def test_only_what_is_chosen_is_put_got_and_synchronised(client, tree, options, found):
    client.write("rules", b"# few\n- /photos/raw/\n+ photos/*.jpg\n+ docs\n- *\n")
    room = client.room
    client.quick("put", *options, "tree", room).ok()
    client.quick("get", room, "up").ok()
    assert files(client.folder / "up") == found
    client.quick("put", "tree", f"{room}-all").ok()
    client.quick("get", *options, f"{room}-all", "down").ok()
    assert files(client.folder / "down") == found
    client.quick("sync", *options, "tree", f"{room}-sync").ok()
    client.quick("sync", "--down", *options, f"{client.name}:{room}-all", "mirror").ok()
    client.quick("sync", "--two-way", *options, "tree", f"{room}-both").ok()
    for remote in (f"{room}-sync", f"{room}-both"):
        client.quick("get", remote, "checked/").ok()
        assert files(client.folder / "checked" / remote) == found
    assert files(client.folder / "mirror") == found
    client.quick("check", *options, "tree", room).ok()
    listed = client.quick("--json", "find", *options, f"{room}-all").ok().json()
    names = [one["path"].removeprefix(f"{room}-all/") for one in listed if one["kind"] == "file"]
    assert names == found
    listed = client.quick("--json", "ls", "-R", *options, f"{room}-all").ok().json()
    assert sorted(one["path"].removeprefix(f"{room}-all/") for one in listed) == found
    (total,) = client.quick("--json", "du", "-s", *options, f"{room}-all").ok().json()
    assert (total["files"], total["size"]) == (len(found), sum(FILES[name] for name in found))


def test_nothing_that_is_left_out_is_removed(client, tree):
    client.quick("sync", "tree", client.room).ok()
    client.quick("rm", f"{client.room}/b.txt", f"{client.room}/a.jpg").ok()
    (tree / "docs" / "f.txt").unlink()
    (tree / "photos" / "c.jpg").unlink()
    done = client.quick(
        "--json", "sync", "--delete", "--include", "*.txt", "tree", client.room
    ).ok().json()  # fmt: skip
    assert (done["files"], done["removed"]) == (1, 1)
    assert client.quick("ls", f"{client.room}/photos").ok().lines == ["c.jpg", "raw/"]
    client.quick("get", client.room, "back").ok()
    done = client.quick(
        "sync", "--down", "--delete", "--include", "*.raw", "--force", client.folder / "back",
        client.room,
    ).ok()  # fmt: skip
    assert "photos/c.jpg" in files(client.folder / "back")


def test_a_file_that_became_too_large_keeps_its_older_version_in_the_target(client, tree):
    client.quick("sync", "tree", client.room).ok()
    (tree / "b.txt").write_bytes(b"x" * 50_000)
    client.quick("sync", "--delete", "--max-size", "40k", "tree", client.room).ok()
    assert client.cat(f"{client.room}/b.txt") == b"x" * 10
    client.quick("sync", "--two-way", "--max-size", "40k", "tree", client.room).ok()
    assert client.cat(f"{client.room}/b.txt") == b"x" * 10
    assert (tree / "b.txt").stat().st_size == 50_000
    (client.folder / "other").mkdir()
    client.write("other/b.txt", b"x" * 10)
    client.quick("put", tree / "b.txt", f"{client.room}/").ok()
    down = "sync", "--down", "--delete", "--force", "--max-size", "40k", "other", client.room
    client.quick(*down).ok()
    assert (client.folder / "other" / "b.txt").read_bytes() == b"x" * 10


def test_files_that_are_named_are_filtered_too(client, tree):
    named = [str(tree / name) for name in ("a.jpg", "b.txt", "old.txt")]
    done = client.quick("--json", "put", "--max-size", "100", *named, f"{client.room}/").ok().json()
    assert (done["files"], done["excluded"]) == (2, 1)
    got = client.quick("--json", "get", "--newer-than", "1d", f"{client.room}/*.txt", "here/").ok()
    assert (got.json()["files"], got.json()["excluded"]) == (1, 1)
    assert files(client.folder / "here") == ["b.txt"]
    dry = client.quick("put", "-n", "--include", "*.jpg", *named, f"{client.room}/").ok()
    assert [line for line in dry.lines if line.startswith("put ")] == [
        f"put {client.room}/a.jpg (1.0 kB)"
    ]


def test_ls_hides_what_is_left_out_and_keeps_folders(client, tree):
    client.quick("put", "tree", client.room).ok()
    shown = client.quick("ls", "--exclude", "*.txt", "--exclude", "photos", client.room).ok()
    assert shown.lines == ["a.jpg", "docs/", "hollow/"]
    assert client.quick("ls", "--include", "*.jpg", client.room).ok().lines == [
        "a.jpg", "docs/", "hollow/", "photos/",
    ]  # fmt: skip
    assert client.quick("ls", "-R", "--include", "e.*", client.room).ok().lines == [
        f"{client.room}/photos/raw/deep:", "e.jpg",
    ]  # fmt: skip


def test_find_looks_into_no_excluded_folder(client, tree):
    client.quick("put", "tree", client.room).ok()
    found = client.quick("find", client.room, "--exclude", "raw", "--type", "f").ok().lines
    assert [one.removeprefix(f"{client.room}/") for one in found] == [
        "a.jpg", "b.txt", "docs/f.txt", "old.txt", "photos/c.jpg",
    ]  # fmt: skip


def test_wrong_filters_are_named(client, tree):
    put = "put", "tree", client.room
    client.quick(*put, "--filter-from", "nothing").fails(NOT_FOUND, "'nothing' does not exist")
    client.write("rules", b"*.jpg\n")
    client.quick(*put, "--filter-from", "rules").fails(USAGE, "Line 1", "'+ PATTERN'")
    client.quick(*put, "--max-size", "10 XB").fails(USAGE, "is not a number of bytes")
    client.quick(*put, "--newer-than", "soon").fails(USAGE, "is not a date")


def test_a_difference_in_a_file_that_is_left_out_is_none(client, tree):
    client.quick("put", "tree", client.room).ok()
    (tree / "b.txt").write_bytes(b"changed")
    assert client.quick("check", "tree", client.room).status == CONFLICT
    client.quick("check", "--include", "*.jpg", "tree", client.room).ok()

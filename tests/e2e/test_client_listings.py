"""Searching and listing: ls with its options, find, du, tree, and wildcards."""

from __future__ import annotations

import os
import re

import pytest

from tests.support.client_processes import NOT_FOUND, USAGE

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d"
FILES = {
    "a.txt": b"1",
    "b.txt": b"22",
    "large.bin": bytes(3 * 1024 * 1024),
    "deep/c.txt": b"333",
    "deep/er/d.txt": b"4444",
    "deep/er/e.log": b"55555",
    ".hidden/f.txt": b"",
    "[x].txt": b"666666",
}


@pytest.fixture(scope="module")
def filled(newcomer, tmp_path_factory):
    """A person whose tree has `FILES`, each an hour newer than the one before."""
    person = newcomer().enrol()
    for age, (name, content) in enumerate(FILES.items()):
        path = person.write(f"start/{name}", content)
        os.utime(path, (1_700_000_000 + 3600 * age,) * 2)
    person.quick("put", "start", "r").ok()
    return person


def lines(client, *command):
    return client.quick(*command).ok().lines


# --- ls


def test_ls_sorts_by_time_size_and_in_reverse(filled):
    by_time = [name for name in lines(filled, "ls", "-t", "r") if not name.endswith("/")]
    assert by_time == ["[x].txt", "large.bin", "b.txt", "a.txt"]
    assert lines(filled, "ls", "-1a", "r") == lines(filled, "ls", "r")
    assert lines(filled, "ls", "-S", "r")[:4] == ["large.bin", "[x].txt", "b.txt", "a.txt"]
    assert lines(filled, "ls", "-r", "r") == list(reversed(lines(filled, "ls", "r")))
    assert lines(filled, "ls", "-tr", "r/*.txt") == ["r/a.txt", "r/b.txt", "r/[x].txt"]


def test_ls_h_shows_sizes_with_units(filled):
    shown = lines(filled, "ls", "-lh", "r/large.bin", "r/a.txt")
    assert [re.sub(TIME, "TIME", one) for one in shown] == [
        "    1 B  TIME  r/a.txt",
        "3.0 MiB  TIME  r/large.bin",
    ]


def test_ls_r_lists_all_folders_in_order(filled):
    assert lines(filled, "ls", "-R", "r/deep") == [
        "r/deep:", "c.txt", "er/", "", "r/deep/er:", "d.txt", "e.log",
    ]  # fmt: skip
    found = filled.quick("--json", "ls", "-R", "r/deep").ok().json()
    assert [one["path"] for one in found] == [
        "r/deep/c.txt", "r/deep/er", "r/deep/er/d.txt", "r/deep/er/e.log",
    ]  # fmt: skip


def test_ls_d_shows_the_folder_itself(filled):
    assert lines(filled, "ls", "-d", "r/deep", "r/a.txt") == ["r/a.txt", "r/deep/"]
    assert lines(filled, "ls", "-d", "/") == ["/"]


# --- wildcards


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("r/*.txt", ["r/[x].txt", "r/a.txt", "r/b.txt"]),
        ("r/?.txt", ["r/a.txt", "r/b.txt"]),
        ("r/[ab].txt", ["r/a.txt", "r/b.txt"]),
        ("r/[!a].txt", ["r/b.txt"]),
        ("r/[x].txt", ["r/[x].txt"]),
        ("r/*/*.txt", ["r/deep/c.txt"]),
        ("r/**/*.txt", ["r/[x].txt", "r/a.txt", "r/b.txt", "r/deep/c.txt", "r/deep/er/d.txt"]),
        ("r/.h*/*", ["r/.hidden/f.txt"]),
        ("**/e.log", ["r/deep/er/e.log"]),
        ("/r/d*/", ["r/deep/"]),
    ],
)
def test_wildcards_match_remote_names(filled, pattern, found):
    assert lines(filled, "ls", "-d", pattern) == found


@pytest.mark.cases(3)
@pytest.mark.parametrize("command", [["ls"], ["cat"], ["rm"], ["get"], ["mv", "-f"], ["find"]])
def test_a_pattern_that_matches_nothing_is_an_error(filled, command):
    target = ["/"] if command[0] == "mv" else []
    filled.quick(*command, "r/*.none", *target).fails(NOT_FOUND, "Nothing matches 'r/*.none'.")


@pytest.mark.parametrize("command", ["ls", "find", "du", "tree"])
def test_one_missing_path_does_not_keep_the_others_from_a_listing(filled, command):
    shown = lines(filled, command, "r/deep", "r/a.txt")
    ran = filled.quick(command, "r/none", "r/deep", "r/*.none", "r/a.txt").fails(NOT_FOUND)
    assert ran.lines == shown
    assert "There is no 'r/none'." in ran.err
    assert "Nothing matches 'r/*.none'." in ran.err


def test_wildcards_work_in_get_cat_mv_and_rm(client):
    for name in ("a1", "a2", "b1"):
        client.write(f"start/{name}", name.encode())
    client.quick("put", "start", client.room).ok()
    assert client.run("cat", f"{client.room}/a?").ok().out == b"a1a2"
    client.quick("get", f"{client.room}/a*", "got/").ok()
    assert sorted(one.name for one in (client.folder / "got").iterdir()) == ["a1", "a2"]
    client.quick("mv", f"{client.room}/?1", f"{client.room}/new/").fails(NOT_FOUND)
    client.quick("mkdir", f"{client.room}/new").ok()
    client.quick("mv", f"{client.room}/?1", f"{client.room}/new/").ok()
    assert client.names(f"{client.room}/new") == ["a1", "b1"]
    client.quick("rm", f"{client.room}/new/*").ok()
    assert client.names(f"{client.room}/new") == []
    client.quick("rm", "-f", f"{client.room}/none*").ok()
    assert client.names(client.room) == ["a2", "new/"]


def test_a_name_with_a_star_is_removed_alone(client):
    for name in ("*", "other"):
        client.write(f"start/{name}", b"x")
    client.quick("put", "start", client.room).ok()
    client.quick("rm", f"{client.room}/*").ok()
    assert client.names(client.room) == ["other"]


# --- find


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--name", "*.log"], ["r/deep/er/e.log"]),
        (["--name", "A.*"], []),
        (["-i", "--name", "A.*"], ["r/a.txt"]),
        (["--type", "d"], ["r/", "r/.hidden/", "r/deep/", "r/deep/er/"]),
        (["--min-size", "3M"], ["r/large.bin"]),
        (["--min-size", "3", "--max-size", "4"], ["r/deep/c.txt", "r/deep/er/d.txt"]),
        (["--max-depth", "1", "--name", "*.txt"], ["r/[x].txt", "r/a.txt", "r/b.txt"]),
        (["--name", "*.txt", "--newer-than", "1h"], []),
        (["--name", "d.*", "--name", "e.*"], ["r/deep/er/d.txt", "r/deep/er/e.log"]),
        (["--max-depth", "0"], ["r/"]),
    ],
)
def test_find_tells_what_fits_all_conditions(filled, options, found):
    assert lines(filled, "find", "r", *options) == found


def test_find_takes_a_date_and_a_time_ago(filled):
    assert lines(filled, "find", "r", "--older-than", "2023-11-16", "--type", "f") != []
    assert lines(filled, "find", "r", "--newer-than", "2023-11-16", "--type", "f") == []
    told = filled.quick("find", "--newer-than", "yesterday").fails(USAGE).err
    assert "'yesterday' is not a date like 2026-11-28" in told
    assert "'3 XB' is not a number of bytes" in filled.quick("find", "--min-size", "3 XB").err


# --- du and tree


def test_du_counts_the_bytes_of_each_folder(filled):
    found = filled.quick("--json", "du", "r").ok().json()
    sizes = {one["path"]: (one["size"], one["files"]) for one in found}
    assert sizes == {
        "r/.hidden": (0, 1),
        "r/deep": (12, 3),
        "r/deep/er": (9, 2),
        "r": (12 + 9 + 3 * 1024 * 1024, 8),
    }
    assert list(sizes)[-1] == "r"
    assert lines(filled, "du", "-sh", "r/deep") == ["12 B  3 files  r/deep"]
    assert [one.split()[-1] for one in lines(filled, "du", "-d", "1", "r")] == [
        "r/.hidden", "r/deep", "r",
    ]  # fmt: skip
    assert lines(filled, "du", "r/a.txt") == ["1  1 file   r/a.txt"]


def test_tree_draws_folders_as_branches(filled):
    assert lines(filled, "tree", "r/deep") == [
        "r/deep/",
        "├── c.txt",
        "└── er/",
        "    ├── d.txt",
        "    └── e.log",
    ]
    assert lines(filled, "tree", "-d", "-L", "1", "r") == ["r/", "├── .hidden/", "└── deep/"]

"""`check`: compares two folders by content, with the real client, and fetches nothing."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.client_processes import CONFLICT, NOT_FOUND, USAGE, Client, Ran
from tests.support.cutting_proxy import CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.proxy import To

LARGE = stretch("large", 3_000_000)


@pytest.fixture
def pair(client: Client) -> Path:
    """Make a local folder and an equal remote one; return the local one."""
    files = {"a": b"aaa", "sub/b": b"bbb", "sub/empty": b"", "large": LARGE, "z.tmp": b"z"}
    for name, content in files.items():
        client.write(f"docs/{name}", content)
    (client.folder / "docs" / "link").symlink_to("sub/b")
    (client.folder / "docs" / "hollow").mkdir()
    client.quick("sync", "docs", client.room).ok()
    return client.folder / "docs"


def check(client: Client, *options: str) -> Ran:
    return client.quick("check", *options, "docs", client.room)


def edited(path: Path, content: bytes) -> None:
    """Change a content, but neither size nor time."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_folders_that_are_alike_have_the_status_0(client, pair):
    ran = check(client).ok()
    assert ran.out == b""
    assert ran.err.startswith("6 files alike")
    assert client.quick("--json", "check", "docs", client.room).ok().json()["same"] == 6


def test_every_kind_of_difference_is_named_with_its_path(client, pair):
    (pair / "a").unlink()
    shutil.rmtree(pair / "hollow")
    (pair / "new").write_bytes(b"new")
    (pair / "nested" / "in").mkdir(parents=True)
    edited(pair / "large", LARGE[:-1] + b"!")
    (pair / "sub" / "b").write_bytes(b"longer")
    (pair / "sub" / "empty").unlink()
    (pair / "sub" / "empty").mkdir()
    (pair / "link").unlink()
    (pair / "link").symlink_to("sub/c")
    ran = check(client)
    assert ran.status == CONFLICT
    assert ran.lines == [
        "only remote    a",
        "only remote    hollow/",
        "other content  large",
        "other content  link",
        "only local     nested/",
        "only local     nested/in/",
        "only local     new",
        "other size     sub/b",
        "other kind     sub/empty",
    ]
    assert "1 file alike, 9 differences" in ran.err
    found = client.quick("--json", "check", "docs", client.room).json()
    assert found["only_local"] == ["nested/", "nested/in/", "new"]
    assert found["only_remote"] == ["a", "hollow/"]
    assert found["different"] == [
        {"path": "large", "why": "content"},
        {"path": "link", "why": "content"},
        {"path": "sub/b", "why": "size"},
        {"path": "sub/empty", "why": "kind"},
    ]


def test_times_and_the_execute_bit_make_no_difference(client, pair):
    os.utime(pair / "a", (1, 1))
    (pair / "a").chmod(0o755)
    check(client).ok()


def test_one_way_lets_the_target_have_more(client, pair):
    (pair / "a").unlink()
    check(client, "--one-way").ok()
    (pair / "new").write_bytes(b"new")
    assert check(client, "--one-way").lines == ["only local  new"]
    other_way = client.quick("check", "--one-way", f"{client.name}:{client.room}", "docs")
    assert other_way.status == CONFLICT
    assert other_way.lines == ["only remote  a"]


def test_excluded_files_are_not_compared(client, pair):
    (pair / "z.tmp").write_bytes(b"changed")
    (pair / "new.tmp").write_bytes(b"")
    assert check(client).status == CONFLICT
    check(client, "--exclude", "*.tmp").ok()


def test_a_file_that_cannot_be_read_fails_alone(client, pair):
    (pair / "a").write_bytes(b"longer")
    (pair / "pipe").unlink(missing_ok=True)
    os.mkfifo(pair / "pipe")
    ran = check(client)
    assert (ran.status, ran.lines) == (CONFLICT, ["other size  a"])
    assert re.search(r"Left out '.*pipe'", ran.err)


def test_nothing_is_written_on_either_side(client, pair):
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in pair.rglob("*"))
    seen = client.quick("ls", "-lR", client.room).text
    (pair / "a").write_bytes(b"x")
    (pair / "a").unlink()
    assert check(client).status == CONFLICT
    after = sorted((str(path), path.lstat().st_mtime_ns) for path in pair.rglob("*"))
    assert after == [one for one in before if not one[0].endswith("/a")]
    assert client.quick("ls", "-lR", client.room).text == seen


def test_no_content_is_fetched_or_sent(client, pair):
    with CuttingProxy(client.server.address) as proxy:
        profile = client.profile / "profile.json"
        before = profile.read_text()
        profile.write_text(before.replace(f"{client.server.address.port}", f"{proxy.address.port}"))
        try:
            check(client).ok()
        finally:
            profile.write_text(before)
        assert 0 < proxy.passed[To.CLIENT] < 100_000
        assert 0 < proxy.passed[To.SERVER] < 100_000


def test_what_is_not_there_is_an_error(client, pair):
    client.quick("check", "nothing", client.room).fails(NOT_FOUND, "no local folder 'nothing'")
    client.quick("check", "docs", "nothing-here").fails(NOT_FOUND, "no 'nothing-here'")
    client.quick("check", "docs/a", client.room).fails(CONFLICT, "not a folder")
    client.quick("check", "docs").fails(USAGE)

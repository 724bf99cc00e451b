"""`cp` with the real client: files, folders and links, in one tree and across shares."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_processes import (
    CONFLICT,
    NOT_ALLOWED,
    NOT_FOUND,
    SPACE,
    USAGE,
    Client,
    Cutter,
    admin,
    snapshot,
    with_a_room,
)
from tests.support.fixed_keys import stretch
from tests.support.programs import Process

LARGE = stretch("large", 9_000_001)
MEDIUM = stretch("medium", 1_500_000)


@pytest.fixture
def room(client: Client) -> str:
    files = {"a.txt": b"aaa", "sub/b": b"bbb", "sub/deep/empty": b"", "sub/medium": MEDIUM}
    for name, content in files.items():
        path = client.write(f"start/{name}", content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    client.write("start/sub/run", b"#!/bin/sh\n").chmod(0o755)
    (client.folder / "start" / "sub" / "link").symlink_to("b")
    (client.folder / "start" / "hollow").mkdir()
    client.quick("put", "start", client.room).ok()
    return client.room


def entry(client: Client, path: str) -> dict[str, Any]:
    (found,) = client.quick("--json", "ls", "-d", path).ok().json()
    return dict(found)


def node_of(client: Client, path: str) -> str:
    found = client.quick("--json", "keys", "file", path).ok().json()
    return str(found["file_key"]) + str(found["salt"]) + str(found["root"])


def test_a_file_is_copied_under_another_name_or_into_a_folder(client, room):
    client.run("cp", f"{room}/a.txt", f"{room}/b.txt").ok()
    client.quick("cp", f"{room}/a.txt", f"{room}/sub").ok()
    client.quick("cp", f"{room}/a.txt", f"{room}/b.txt", f"{room}/hollow/").ok()
    for copy in ("b.txt", "sub/a.txt", "hollow/a.txt", "hollow/b.txt"):
        assert client.cat(f"{room}/{copy}") == b"aaa"
    first, copied = entry(client, f"{room}/a.txt"), entry(client, f"{room}/b.txt")
    assert copied["mtime_ns"] == first["mtime_ns"]
    assert copied["version"] == 1


def test_a_copy_has_new_keys_and_another_sealed_content(client, room):
    client.quick("cp", f"{room}/a.txt", f"{room}/b.txt").ok()
    first, copied = node_of(client, f"{room}/a.txt"), node_of(client, f"{room}/b.txt")
    parts = [slice(0, 64), slice(64, 128), slice(128, 192)]
    assert all(first[part] != copied[part] for part in parts)


def test_a_folder_is_copied_whole_with_links_modes_and_times(client, room):
    done = client.quick("--json", "cp", "-r", room, f"{room}-copy").ok().json()
    assert (done["files"], done["folders"], done["failed"]) == (6, 4, [])
    client.quick("get", room, "one").ok()
    client.quick("get", f"{room}-copy", "other").ok()
    one, other = (snapshot(client.folder / name) for name in ("one", "other"))
    assert one == other
    assert other["sub/run"][3]
    assert other["sub/link"][0] == "link"


def test_a_folder_needs_r_and_cannot_go_into_itself(client, room):
    client.run("cp", room, f"{room}-copy").fails(USAGE, "Give -r")
    client.quick("cp", "-r", room, f"{room}/sub/deep").fails(NOT_ALLOWED, "into itself")
    client.quick("cp", "-r", f"{client.name}:{room}", f"{room}/sub/").fails(NOT_ALLOWED, "itself")
    assert client.names(f"{room}/sub/deep") == ["empty"]
    client.quick("cp", "-r", f"{room}/sub", f"{room}/hollow").ok()
    assert client.cat(f"{room}/hollow/sub/b") == b"bbb"


def test_an_existing_file_stays_unless_it_is_to_be_replaced(client, room):
    client.quick("put", client.write("b", b"other"), f"{room}/b").ok()
    client.run("cp", f"{room}/a.txt", f"{room}/b").fails(CONFLICT, "Give -f to replace it")
    assert client.cat(f"{room}/b") == b"other"
    client.run("cp", "-f", f"{room}/a.txt", f"{room}/b").ok()
    assert client.cat(f"{room}/b") == b"aaa"
    assert entry(client, f"{room}/b")["version"] == 2
    assert client.quick("cat", "--version", "1", f"{room}/b").ok().out == b"other"
    client.quick("cp", "-f", f"{room}/a.txt", f"{room}/a.txt").fails(USAGE, "would be the same")
    client.quick("cp", "-rf", f"{room}/sub", f"{room}/a.txt").fails(CONFLICT, "a folder cannot")


def test_a_merge_adds_what_is_missing_and_names_what_is_in_the_way(client, room):
    client.quick("mkdir", f"{room}-copy").ok()
    client.quick("put", client.write("b", b"other"), f"{room}-copy/sub/b").ok()
    ran = client.run("cp", "-r", f"{room}/sub", f"{room}/a.txt", f"{room}-copy")
    ran.fails(CONFLICT, f"'{room}-copy/sub/b' exists already")
    assert client.cat(f"{room}-copy/sub/b") == b"other"
    assert client.cat(f"{room}-copy/sub/medium") == MEDIUM
    assert client.cat(f"{room}-copy/a.txt") == b"aaa"


def test_two_of_one_name_do_not_replace_each_other(client, room):
    client.quick("put", client.write("b", b"second"), f"{room}/hollow/").ok()
    ran = client.quick("cp", f"{room}/sub/b", f"{room}/hollow/b", f"{room}/sub/deep/")
    ran.fails(CONFLICT, "was just copied from another place")
    assert client.cat(f"{room}/sub/deep/b") == b"bbb"


def test_patterns_filters_and_dry_runs(client, room):
    dry = client.quick("cp", "-n", "-r", f"{room}/*", f"{room}-copy/")
    dry.fails(NOT_FOUND, f"no '{room}-copy'")
    client.quick("mkdir", f"{room}-copy").ok()
    dry = client.quick("cp", "-n", f"{room}/*.txt", f"{room}-copy").ok()
    assert dry.lines == [f"put {room}-copy/a.txt (3 B)"]
    assert client.names(f"{room}-copy") == []
    client.quick("cp", "-r", "--include", "b", f"{room}/*", f"{room}-copy").ok()
    found = client.quick("find", f"{room}-copy").ok().lines
    assert found == [f"{room}-copy/", f"{room}-copy/sub/", f"{room}-copy/sub/b"]


def test_what_is_not_there_fails_alone(client, room):
    client.quick("cp", f"{room}/none", f"{room}/a.txt", f"{room}/hollow/").fails(NOT_FOUND, "none")
    assert client.cat(f"{room}/hollow/a.txt") == b"aaa"
    client.run("cp", f"{room}/a.txt").fails(USAGE, "the target")
    client.run("cp", "-r", "/", f"{room}/all").fails(NOT_ALLOWED, "into itself")


def test_a_large_file_is_copied_in_a_stream(client, room):
    client.quick("put", client.write("large", LARGE), f"{room}/").ok()
    copied = client.run("--json", "cp", f"{room}/large", f"{room}/copy").ok().json()
    assert (copied["files"], copied["bytes"]) == (1, len(LARGE))
    assert client.cat(f"{room}/copy") == LARGE
    done = client.script(f"cp {room}/large {room}/two", f"cp {room}/large {room}/three").ok()
    assert done.status == 0
    assert client.cat(f"{room}/three") == LARGE


@pytest.mark.cases(1)
@pytest.mark.parametrize("message", [12, 16, 20])
def test_a_lost_connection_is_made_again(client, room, message):
    client.quick("put", client.write("large", LARGE), f"{room}/").ok()
    before = (client.profile / "profile.json").read_text()
    with Cutter(client.server.address, message, lambda: None) as cutter:
        facts = json.loads(before) | {"port": cutter.address.port}
        (client.profile / "profile.json").write_text(json.dumps(facts))
        try:
            client.run("cp", f"{room}/large", f"{room}/copy").ok()
        finally:
            (client.profile / "profile.json").write_text(before)
        assert cutter.reached.is_set()
    assert client.cat(f"{room}/copy") == LARGE


def test_a_full_quota_is_named_and_nothing_is_copied(newcomer):
    person = newcomer().enrol()
    person.quick("put", person.write("large", LARGE)).ok()
    admin(person.server, "change-user", person.name, "--quota-bytes", "12M")
    person.run("cp", "large", "copy").fails(SPACE, "quota is used up")
    assert person.names() == ["large"]


# --- across shares


@pytest.fixture
def people(newcomer, tmp_path: Path) -> list[Client]:
    made = [newcomer().enrol(), newcomer().enrol()]
    alice, bob = with_a_room(made, "team", tmp_path)
    for name, content in {"f": b"of alice", "sub/g": LARGE}.items():
        alice.write(f"team/{name}", content)
    alice.quick("put", "team", "/").ok()
    return [alice, bob]


def test_a_copy_of_a_share_stays_with_its_owner(people):
    alice, bob = people
    alice.quick("share", "team", bob.name, "--yes").ok()
    bob.run("cp", "-r", f"{alice.name}:team", "mine").ok()
    bob.quick("cp", f"{alice.name}:team/f", f"{alice.name}:team/copy").fails(NOT_ALLOWED)
    alice.quick("unshare", "team", bob.name).ok()
    assert bob.cat("mine/sub/g") == LARGE
    assert bob.cat("mine/f") == b"of alice"
    assert bob.quick("--json", "status").ok().json()["used_bytes"] > len(LARGE)


def test_a_copy_into_a_share_counts_for_its_owner(people):
    alice, bob = people
    alice.quick("share", "team", bob.name, "--write", "--yes").ok()
    bob.quick("put", bob.write("h", b"of bob")).ok()
    bob.run("cp", "h", f"{alice.name}:team/").ok()
    assert alice.cat("team/h") == b"of bob"
    assert entry(alice, "team/h")["author"] == bob.name
    bob.quick("cp", "-r", f"{alice.name}:team/sub", f"{alice.name}:team/more").ok()
    assert alice.cat("team/more/g") == LARGE


def test_ctrl_c_ends_a_copy_and_leaves_nothing_half_done(client, room):
    client.quick("put", client.write("large", LARGE * 4), f"{room}/").ok()
    before = (client.profile / "profile.json").read_text()
    started: list[Process] = []
    with Cutter(client.server.address, 16, lambda: started[0].send_signal(2)) as cutter:
        facts = json.loads(before) | {"port": cutter.address.port}
        (client.profile / "profile.json").write_text(json.dumps(facts))
        try:
            process = client.start("cp", f"{room}/large", f"{room}/copy")
            started.append(process)
            _, err = process.communicate(timeout=60)
        finally:
            (client.profile / "profile.json").write_text(before)
    assert process.returncode == 130, err
    assert "large" in client.names(room)
    assert "copy" not in client.names(room)

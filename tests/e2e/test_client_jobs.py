"""`--jobs` with the real client: large files travel at the same time."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client_processes import (
    NOT_ALLOWED,
    SPACE,
    USAGE,
    Client,
    Cutter,
    admin,
    snapshot,
    without_root,
)
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fixed_keys import stretch
from tests.support.programs import Process
from tests.support.proxy import To

SIZE = 4_500_000
"""Larger than the least size of a file with a connection of its own."""
LARGE = {f"large{number}": stretch(f"{number}", SIZE + number) for number in range(5)}
SMALL = {f"sub/small{number}": b"%d" % number for number in range(30)}


@pytest.fixture
def tree(client: Client) -> Path:
    for name, content in (LARGE | SMALL).items():
        client.write(f"tree/{name}", content)
    return client.folder / "tree"


@contextmanager
def through(client: Client, proxy: CuttingProxy | Cutter) -> Iterator[None]:
    """Let the client reach its server through a proxy."""
    profile = client.profile / "profile.json"
    before = profile.read_text()
    profile.write_text(json.dumps(json.loads(before) | {"port": proxy.address.port}))
    try:
        yield
    finally:
        profile.write_text(before)


def test_a_tree_is_put_and_got_over_several_connections(client, tree):
    with CuttingProxy(client.server.address) as proxy, through(client, proxy):
        done = client.quick("--json", "put", "--jobs", "3", "tree", client.room).ok().json()
        assert proxy.connections == 1 + 3
    assert (done["files"], done["bytes"]) == (35, sum(map(len, (LARGE | SMALL).values())))
    with CuttingProxy(client.server.address) as proxy, through(client, proxy):
        client.quick("get", "--jobs", "2", client.room, "got").ok()
        assert proxy.connections == 1 + 2
    assert snapshot(client.folder / "got") == snapshot(tree)


def test_one_job_uses_one_connection(client, tree):
    with CuttingProxy(client.server.address) as proxy, through(client, proxy):
        client.quick("put", "tree", client.room).ok()
        assert proxy.connections == 1
    client.quick("put", "--jobs", "0", "tree", client.room).fails(USAGE)
    client.quick("put", "--jobs", "17", "tree", client.room).fails(USAGE)


def test_a_sync_in_any_direction_knows_what_it_did(client, tree):
    client.quick("sync", "--jobs", "3", "tree", client.room).ok()
    assert client.quick("--json", "sync", "tree", client.room).ok().json()["files"] == 0
    client.quick("sync", "--down", "--jobs", "3", "other", client.room).ok()
    assert snapshot(client.folder / "other") == snapshot(tree)
    (tree / "large1").write_bytes(LARGE["large2"])
    (client.folder / "other" / "large3").write_bytes(LARGE["large4"])
    client.quick("sync", "--jobs", "2", "tree", client.room).ok()
    done = client.quick("--json", "sync", "--two-way", "--jobs", "2", "other", client.room)
    assert done.ok().json()["files"] == 2
    assert client.cat(f"{client.room}/large3") == LARGE["large4"]
    assert (client.folder / "other" / "large1").read_bytes() == LARGE["large2"]


def test_the_failure_of_one_file_leaves_the_others(client, tree):
    (tree / "large1").chmod(0)
    (tree / "sub" / "small1").chmod(0)
    ran = client.run("put", "--jobs", "3", "tree", client.room, before=without_root)
    ran.fails(NOT_ALLOWED, "tree/large1", "tree/sub/small1")
    (tree / "large1").chmod(0o600)
    (tree / "sub" / "small1").chmod(0o600)
    assert client.names(client.room) == ["large0", "large2", "large3", "large4", "sub/"]
    client.quick("put", "--jobs", "3", "-u", "tree", client.room).ok()
    assert "large1" in client.names(client.room) or "tree/" in client.names(client.room)


def test_a_full_quota_is_an_error_and_what_fits_is_there(newcomer):
    person = newcomer().enrol()
    for name, content in LARGE.items():
        person.write(f"tree/{name}", content)
    admin(person.server, "change-user", person.name, "--quota-bytes", "10M")
    person.run("put", "--jobs", "2", "tree").fails(SPACE, "quota is used up")
    assert len(person.names("tree")) <= 2
    admin(person.server, "change-user", person.name, "--quota-bytes", "none")
    person.run("put", "--jobs", "2", "tree", "/").ok()
    assert {name: person.cat(f"tree/{name}") for name in LARGE} == LARGE


@pytest.mark.cases(1)
@pytest.mark.parametrize("after", [300_000, 3_000_000, 6_000_000])
def test_a_lost_connection_is_made_again(client, tree, after):
    cuts = [Cut(To.SERVER, 10_000_000), Cut(To.SERVER, after), Cut(To.SERVER, after)]
    with CuttingProxy(client.server.address, cuts) as proxy, through(client, proxy):
        client.run("put", "--jobs", "2", "tree", client.room).ok()
    cuts = [Cut(To.CLIENT, 10_000_000), Cut(To.CLIENT, after)]
    with CuttingProxy(client.server.address, cuts) as proxy, through(client, proxy):
        client.run("get", "--jobs", "2", client.room, "got").ok()
    assert snapshot(client.folder / "got") == snapshot(tree)


def test_an_interrupted_put_is_resumed_by_the_same_command(client, tree):
    started: list[Process] = []
    command = "put", "--jobs", "3", "tree", client.room
    with (
        Cutter(client.server.address, 18, lambda: started[0].send_signal(2)) as cutter,
        through(client, cutter),
    ):
        started.append(process := client.start(*command))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    client.run(*command).ok()
    client.quick("get", client.room, "got").ok()
    assert snapshot(client.folder / "got") == snapshot(tree)


def test_a_shell_may_use_it_again_and_again(client, tree):
    lines = [f"put --jobs 2 tree {client.room}-{number}" for number in range(2)]
    client.script(*lines, f"get --jobs 2 {client.room}-0 got").ok()
    assert snapshot(client.folder / "got") == snapshot(tree)


def test_the_totals_and_the_rate_are_those_of_all_connections(client, tree):
    os.utime(tree / "large0")
    ran = client.run("put", "--jobs", "4", "--progress", "json", "tree", client.room).ok()
    last = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")][-1]
    assert last["files"] == 35
    assert last["bytes"] == sum(map(len, (LARGE | SMALL).values()))
    assert re.search(r"put 35 files and 2 folders, 22\.5 MB", ran.err)

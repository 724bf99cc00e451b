"""`--bwlimit` with the real client: both directions are slowed down, and nothing else changes."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.client_processes import USAGE

SIZE = 300_000


@pytest.fixture
def content(client) -> bytes:
    content = os.urandom(SIZE)
    client.write("file", content)
    return content


def took(client, *command: str) -> float:
    started_s = time.monotonic()
    client.quick(*command).ok()
    return time.monotonic() - started_s


def test_a_put_and_a_get_keep_to_the_rate(client, content):
    least_s = SIZE / (200 * 1024) * 0.9
    assert took(client, "put", "--bwlimit", "200K", "file", client.room) >= least_s
    assert took(client, "get", "--bwlimit", "off:200K", client.room, "got") >= least_s
    assert (client.folder / "got").read_bytes() == content
    assert took(client, "sync", "--bwlimit", "200K:off", ".", f"{client.room}-sync") >= least_s
    assert took(client, "cp", "--bwlimit", "200K", client.room, f"{client.room}-copy") >= least_s
    assert client.cat(f"{client.room}-copy") == content


def test_one_command_of_the_shell_is_limited_and_not_the_next(client, content):
    started_s = time.monotonic()
    client.script(f"put --bwlimit 200K file {client.room}", f"put file {client.room}-2").ok()
    both_s = time.monotonic() - started_s
    assert both_s >= SIZE / (200 * 1024) * 0.9
    assert client.cat(f"{client.room}-2") == content


@pytest.mark.cases(2)
@pytest.mark.parametrize("rate", ["512", "fast", "1K", "08:00"])
def test_a_wrong_rate_is_named(client, content, rate):
    told = client.quick("put", "--bwlimit", rate, "file", client.room).fails(USAGE).err
    assert f"'{rate}' is not a rate like 512K" in told

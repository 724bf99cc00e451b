"""Completion on the command line: remote paths, people and groups, as the shells ask for them."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from fsclient.profile_warnings import keep_warning
from tests.support.client_processes import Client


def offered(client: Client, line: str, kind: str = "zsh") -> list[str]:
    """Return the first answer with a name; a busy machine may need more than the time limit."""
    answers = (completed(client, line, kind) for _ in range(150))
    return next(filter(None, answers), [])


def completed(client: Client, line: str, kind: str = "zsh", **env: str) -> list[str]:
    """Return what a shell is offered for the last word of a line; nothing else may be printed."""
    words = line.split(" ")
    count = str(len(words) - 1)
    asked: dict[str, Any] = {
        "_FSCLIENT_COMPLETE": f"{kind}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": words[-1] if kind == "fish" else count,
    }
    ran = client.run(**asked | env)
    assert (ran.status, ran.err) == (0, "")
    if kind == "zsh":
        return ran.lines[1::3]
    return [one.partition(",")[2] for one in ran.lines]


@pytest.fixture
def room(client: Client) -> str:
    for name in ("report.txt", "recent/a b.txt", "recent/c.txt", "other/deep/x"):
        client.write(f"{client.room}/{name}", b"1")
    client.quick("put", client.room, "/").ok()
    return client.room


def test_remote_paths_are_completed_in_each_shell(client, room):
    for kind in ("zsh", "bash", "fish"):
        assert offered(client, f"fsclient ls {room}/re", kind) == [
            f"{room}/recent/",
            f"{room}/report.txt",
        ]
    assert offered(client, f"fsclient get -u {room}/rep") == [f"{room}/report.txt"]
    assert offered(client, f"fsclient trash list {room}/rep") == [f"{room}/report.txt"]
    assert completed(client, f"fsclient ls {room}/nothing") == []


def test_a_single_folder_is_completed_with_what_is_in_it(client, room):
    assert offered(client, f"fsclient rm {room}/ot") == [f"{room}/other/deep/x"]
    assert offered(client, f"fsclient rm {room}/rec") == [
        f"{room}/recent/a b.txt",
        f"{room}/recent/c.txt",
    ]
    assert offered(client, f"fsclient rm {room}/rec", "bash") == [
        f"{room}/recent/a\\ b.txt",
        f"{room}/recent/c.txt",
    ]


def test_people_and_their_shares_are_offered(newcomer, client, room):
    other = newcomer().enrol()
    client.quick("share", f"{room}/recent", other.name).ok()
    assert other.name in offered(client, f"fsclient share {room} {other.name[:-1]}")
    assert other.name in offered(client, "fsclient verify p")
    shown = offered(other, f"fsclient ls {client.name}:rec")
    assert shown == [f"{client.name}:recent/a b.txt", f"{client.name}:recent/c.txt"]
    cut_off = offered(other, f"fsclient ls {client.name} : rec", "bash")
    assert cut_off == ["recent/a\\ b.txt", "recent/c.txt"]


def test_without_a_session_or_a_profile_nothing_is_asked_or_sent(client, room, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(client.home, other)
    (other / "profiles" / "default" / "session").unlink()
    assert completed(client, f"fsclient ls {room}/re", FSCLIENT_HOME=str(other)) == []
    assert completed(client, "fsclient ls re", FSCLIENT_HOME=str(tmp_path / "none")) == []
    assert completed(client, "fsclient ls re", FSCLIENT_PROFILE="../x") == []


def test_a_server_that_does_not_answer_ends_the_completion_soon(client, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(client.home, own)
    facts = own / "profiles" / "default" / "profile.json"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        facts.write_text(json.dumps(json.loads(facts.read_text()) | there))
        began = time.monotonic()
        assert completed(client, "fsclient ls re", FSCLIENT_HOME=str(own)) == []
        took = time.monotonic() - began
    assert took < 10, took  # 0.8 s, and the start of Python on a busy machine


def test_a_warning_that_a_completion_received_is_shown_by_the_next_command(client, room):
    keep_warning(Path(client.profile), "Your codes were\nseen.")
    assert offered(client, f"fsclient ls {room}/rep") == [f"{room}/report.txt"]
    assert "fsclient: Your codes were seen." in client.run("ls").ok().err
    assert "seen" not in client.run("ls").ok().err

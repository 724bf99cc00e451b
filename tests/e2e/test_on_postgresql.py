"""The daily work on PostgreSQL, with the real programs: it does all that SQLite does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.postgres import Cluster
from tests.support.servers import Authenticator, RunningServer, enrol_person, run


@pytest.fixture
def client(tmp_path: Path, postgres: Cluster):
    with_database = RunningServer.start(tmp_path / "fsd", database=postgres.new_database())
    person = enrol_person(with_database, "alice")
    env = {"FSCLIENT_HOME": str(tmp_path / "alice"), "FSCLIENT_OTP": Authenticator(person).fresh()}
    done = run("fsclient", "enroll", person["enroll_link"], "--no-passphrase", env=env)
    assert done.returncode == 0, done.stderr

    def fsclient(*args: object) -> str:
        done = run("fsclient", *map(str, args), env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield fsclient
    assert with_database.stop() == 0
    assert "Traceback" not in with_database.log


def make(folder: Path) -> Path:
    (folder / "below").mkdir(parents=True)
    for number in range(40):
        (folder / "below" / f"{number}.txt").write_bytes(os.urandom(number * 100))
    (folder / "large").write_bytes(os.urandom(3_000_000))
    (folder / "empty").touch()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_tree_travels_is_changed_and_comes_back(client, tmp_path: Path):
    tree = make(tmp_path / "tree")
    client("put", tree)
    (tree / "below" / "7.txt").write_bytes(b"another version")
    (tree / "large").write_bytes(os.urandom(2_500_000))
    client("put", tree)
    client("mv", "tree/below/9.txt", "tree/nine")
    client("mv", "-f", "tree/below/8.txt", "tree/nine")
    client("rm", "-r", "tree/empty")
    client("get", "tree", tmp_path / "back")
    expected = contents(tree)
    expected["nine"] = expected.pop("below/8.txt")
    del expected["below/9.txt"], expected["empty"]
    assert contents(tmp_path / "back") == expected


def test_two_names_can_be_exchanged(client, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        client("put", tmp_path / name)
    client("mv", "one", "three")
    client("mv", "two", "one")
    client("mv", "three", "two")
    assert client("cat", "one", "two") == "twoone"
    assert client("ls").split() == ["one", "two"]


def test_what_is_removed_and_older_versions_can_be_had_again(client, tmp_path: Path):
    tree = make(tmp_path / "tree")
    client("put", tree)
    first = contents(tree)
    (tree / "below" / "7.txt").write_bytes(b"another version")
    (tree / "large").write_bytes(os.urandom(2_500_000))
    client("put", tree)
    client("restore", "--version", 1, "tree/large")
    client("restore", "--version", 1, "tree/below/7.txt")
    client("rm", "-r", "tree")
    assert client("ls") == ""
    client("restore", "tree")
    client("get", "tree", tmp_path / "back")
    assert contents(tmp_path / "back") == first


@pytest.fixture
def two(tmp_path: Path, postgres: Cluster):
    server = RunningServer.start(tmp_path / "fsd", database=postgres.new_database())
    people = []
    for name in ("alice", "bob"):
        person = enrol_person(server, name)
        home = {"FSCLIENT_HOME": str(tmp_path / name)}
        otp = {"FSCLIENT_OTP": Authenticator(person).fresh()}
        link = person["enroll_link"]
        done = run("fsclient", "enroll", link, "--no-passphrase", env={**home, **otp})
        assert done.returncode == 0, done.stderr

        def fsclient(*args: object, env: dict[str, str] = home, status: int = 0) -> str:
            done = run("fsclient", *map(str, args), env=env)
            assert done.returncode == status, done.stderr
            return done.stdout

        people.append(fsclient)
    yield people
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_a_folder_is_shared_written_to_by_both_and_taken_back(two, tmp_path: Path):
    alice, bob = two
    alice("put", make(tmp_path / "tree"))
    alice("share", "tree", "bob", "--write")
    bob("get", "alice:tree", tmp_path / "his")
    assert contents(tmp_path / "his") == contents(tmp_path / "tree")
    (tmp_path / "new").write_bytes(b"bob's")
    bob("put", tmp_path / "new", "alice:tree/below/")
    bob("mv", "alice:tree/below/7.txt", "alice:tree/seven")
    assert alice("cat", "tree/below/new") == "bob's"
    assert "bob (writer" in alice("shares", "tree")
    alice("unshare", "tree", "bob", "--now")
    bob("ls", "alice:tree", status=5)
    alice("get", "tree", tmp_path / "hers")
    expected = contents(tmp_path / "tree") | {"below/new": b"bob's"}
    expected["seven"] = expected.pop("below/7.txt")
    assert contents(tmp_path / "hers") == expected

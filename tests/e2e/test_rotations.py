"""New keys of a server that is in use, with the real programs."""

from __future__ import annotations

import json

from tests.support.client_processes import LOGIN, NOT_ALLOWED, SECURITY, Client
from tests.support.servers import RunningServer, run
from tests.support.sqlite_files import opened
from tests.support.world import until


def test_clients_follow_a_new_host_key_once_the_server_shows_it(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        alice.write("file", b"what alice has")
        alice.run("put", "file").ok()
        done = server.admin("rotate-host-key", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["before"] == server.host_key
        until(lambda: "loaded a new host key" in server.log, "it shows the new one")
        moved = alice.run("cat", "file").ok()
        assert moved.out == b"what alice has"
        assert moved.err.count("\n") == 1
        assert told["host_key"] in moved.err
        assert alice.run("cat", "file").ok().err == ""
        assert alice.run("whoami", "--json").ok().json()["host_key"] == told["host_key"]
        added = json.loads(server.admin("add-user", "bob", "--json").stdout)
        assert told["host_key"] in added["enroll_link"]
    with server.restart() as again:
        assert again.host_key == told["host_key"]
        assert alice.run("cat", "file").ok().err == ""


def test_a_stolen_host_key_vouches_for_nothing_and_a_new_link_is_taken(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        first = server.admin("rotate-host-key", "--yes", "--json")
        assert first.returncode == 0
        told = json.loads(server.admin("rotate-host-key", "--stolen", "--yes", "--json").stdout)
    with server.restart():
        alice.run("ls").fails(SECURITY, "HOST KEY HAS CHANGED")
        link = alice.link.partition("?")[0] + f"?host-key={told['host_key']}"
        other = link.replace("alice@", "bob@")
        alice.run("repin", other).fails(NOT_ALLOWED, "bob")
        alice.run("ls").fails(SECURITY)
        assert alice.run("repin", link, "--json").ok().json()["before"] == server.host_key
        assert alice.run("ls").ok().err == ""


def test_a_host_key_without_a_statement_is_an_alarm(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        assert server.admin("rotate-host-key", "--yes").returncode == 0
    (server.home / "host.moves").unlink()
    with opened(server.home / "fsd.db") as db:
        db.execute("DELETE FROM server_keys WHERE name = 'host.moves'")
    with server.restart():
        alice.run("ls").fails(SECURITY, "HOST KEY HAS CHANGED")


def test_the_master_key_is_rotated_while_nothing_runs(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        refused = server.admin("rotate-master-key")
        assert refused.returncode == 1
        assert "running" in refused.stderr
    before = (server.home / "master.key").read_bytes()
    done = run("fsadmin", "--home", str(server.home), "rotate-master-key", "--json")
    assert json.loads(done.stdout) == {"secrets": 1}
    assert (server.home / "master.key").read_bytes() != before
    with server.restart():
        alice.run("login", "--otp", alice.app.fresh()).ok()
        alice.run("login", "--otp", "000000").fails(LOGIN)

"""A running fsd and its configuration: verified before the start, and reloaded while it runs."""

from __future__ import annotations

import signal
import socket
import tomllib

from tests.support.client_processes import Client
from tests.support.servers import RunningServer, run
from tests.support.world import until


def test_a_configuration_is_checked_and_nothing_is_started(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "fsd.toml").write_text("[login]\nsession = '2 h'\n")
    told = run("fsd", "--home", str(home), "--check-config")
    assert (told.returncode, told.stderr) == (0, "")
    assert tomllib.loads(told.stdout)["login"]["session"] == "2 h"
    assert [path.name for path in home.iterdir()] == ["fsd.toml"]
    (home / "fsd.toml").write_text("[login]\nsesion = '2 h'\nfree_tries = 0\n")
    told = run("fsd", "--home", str(home), "--check-config")
    assert (told.returncode, told.stdout) == (2, "")
    first, second = told.stderr.splitlines()
    assert "line 2: 'login.sesion' is not a setting; did you mean 'login.session'?" in first
    assert "line 3: login.free_tries is '0', but must be" in second
    refused = run("fsd", "--home", str(home))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "login.sesion" in refused.stderr


def test_a_server_takes_over_what_it_can_when_it_is_told_to_read_again(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    config = home / "fsd.toml"
    config.write_text("[login]\nsession = '2 h'\n")
    with RunningServer.start(home, "--log-format", "json") as server:
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        told = alice.run("status", "--json").ok().json()
        config.write_text("listen = '127.0.0.1:1'\n[login]\nsession = '5 min'\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: '"reloaded"' in server.log, "it has read its settings again")
        assert '"changed": "login.session"' in server.log
        assert "waits for a restart: listen" not in server.log  # the command line overrides it
        alice.run("login", "--otp", alice.app.fresh()).ok()
        later = alice.run("status", "--json").ok().json()
        assert told["session_ends_ms"] - later["session_ends_ms"] > 3600_000
        config.write_text("[login]\nsession = 'long'\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "not reloaded" in server.log, "it has refused what is wrong")
        assert "login.session is 'long'" in server.log
        alice.run("ls").ok()


def test_fsadmin_finds_the_database_that_the_file_names(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "fsd.toml").write_text(f"database = 'sqlite:///{tmp_path}/other.db'\n")
    added = run("fsadmin", "--home", str(home), "add-user", "alice")
    assert added.returncode == 0
    assert (tmp_path / "other.db").exists()
    assert not (home / "fsd.db").exists()


def test_systemd_is_notified_of_ready_reload_and_stop(tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        told.settimeout(30)
        with RunningServer.start(tmp_path / "home", env={"NOTIFY_SOCKET": path}) as server:
            assert told.recv(200) == b"READY=1"
            server.process.send_signal(signal.SIGHUP)
            assert told.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert told.recv(200) == b"READY=1"
            assert server.stop() == 0
            assert told.recv(200) == b"STOPPING=1"

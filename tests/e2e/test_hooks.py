"""Hooks of a running server: what a command and a webhook receive, whatever happens in between."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_processes import LOGIN, Client, admin
from tests.support.hook_receiver import receiving, status
from tests.support.servers import RunningServer, run
from tests.support.sqlite_files import opened
from tests.support.world import until

BACKUP = {"FSADMIN_PASSPHRASE": "a phrase for tests"}


def write_settings(home: Path, *lines: str) -> Path:
    home.mkdir(mode=0o700, exist_ok=True)
    (home / "fsd.toml").write_text("\n".join(["[hooks]", "timeout = 1", *lines, ""]))
    return home


def into(file: Path) -> list[str]:
    """Return a command that appends what it receives to a file."""
    return [sys.executable, "-c", f"import sys; open({str(file)!r}, 'a').write(sys.stdin.read())"]


def received(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def back_up(server: RunningServer, to: Path) -> None:
    """Do something that makes an event, also while the server is stopped."""
    done = run("fsadmin", "--home", str(server.home), "backup", str(to), env=BACKUP)
    assert done.returncode == 0, done.stderr


def waiting(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin(server, "hooks")["waiting"]
    return found


def doctor(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.admin("doctor", "--json").stdout)
    return found


def test_the_events_of_people_reach_the_command_and_the_webhook(tmp_path):
    out = tmp_path / "out"
    with receiving(status(204)) as receiver:
        home = write_settings(
            tmp_path / "home", f"command = {json.dumps(into(out))}", f'url = "{receiver.url}"'
        )
        with RunningServer.start(home) as server:
            alice = Client(server, "alice", tmp_path / "alice").enrol()
            bob = Client(server, "bob", tmp_path / "bob").enrol()
            admin(server, "change-user", "alice", "--quota-files", "1")
            alice.write("a secret name", b"x")
            alice.run("put", "a secret name").ok()
            alice.run("share", "a secret name", "bob", "--yes").ok()
            bob.run("login", "--otp", "000000").fails(LOGIN)
            back_up(server, tmp_path / "backup")
            wanted = {"quota-near", "shared", "login-refused", "backed-up"}
            until(lambda: {one["type"] for one in received(out)} >= wanted, "all have come")
            until(lambda: len(receiver.got) >= len(wanted), "the webhook has them, too")
            secret = admin(server, "hooks", "secret")["secret"]
            until(lambda: waiting(server) == [], "none waits")
        assert "Traceback" not in server.log
    by_type = {one["type"]: one for one in received(out)}
    assert by_type["shared"]["data"]["user"] == "alice"
    assert by_type["login-refused"]["data"]["user"] == "bob"
    assert by_type["quota-near"]["data"]["detail"] == "1 of 1 files"
    assert "a secret name" not in out.read_text()
    assert {one.told["id"] for one in receiver.got} == {one["id"] for one in received(out)}
    assert all(one.is_signed_with(secret) for one in receiver.got)
    assert {one.headers["webhook-id"] for one in receiver.got} == {
        one.told["id"] for one in receiver.got
    }


def test_a_hook_that_hangs_or_fails_holds_up_no_act_and_no_stop(tmp_path):
    hangs = [sys.executable, "-c", "import time; time.sleep(1000)"]
    with receiving(lambda _handler, _number: receiver.over.wait(60)) as receiver:
        home = write_settings(
            tmp_path / "home",
            f"command = {json.dumps(hangs)}",
            f'url = "{receiver.url}"',
        )
        (home / "fsd.toml").write_text(
            (home / "fsd.toml").read_text().replace("timeout = 1", "timeout = 60")
        )
        with RunningServer.start(home) as server:
            back_up(server, tmp_path / "1")
            assert receiver.came.wait(60)
            started = time.monotonic()
            alice = Client(server, "alice", tmp_path / "alice").enrol()
            alice.write("f", b"x")
            alice.run("put", "f").ok()
            back_up(server, tmp_path / "2")
            until(lambda: len({one["id"] for one in waiting(server)}) == 2, "both wait")
            assert server.stop() == 0
            assert time.monotonic() - started < 50


def test_a_receiver_that_was_down_gets_what_it_missed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = write_settings(tmp_path / "home", f'url = "http://127.0.0.1:{port}/hook"')
    with RunningServer.start(home, "--metrics-listen", "127.0.0.1:0") as server:
        back_up(server, tmp_path / "backup")
        until(lambda: [one for one in waiting(server) if one["tries"]], "it was tried")
        (row,) = waiting(server)
        assert "refused" in row["error"]
        shown = server.admin("hooks").stdout
        assert "it cannot be reached: Connection refused" in shown
        assert max(map(len, shown.splitlines())) <= 80
        assert "hooks" not in {one["name"] for one in doctor(server)}
        with opened(server.home / "fsd.db") as db:
            db.execute("UPDATE hook_events SET at_ms = at_ms - 7200000")
        (finding,) = [one for one in doctor(server) if one["name"] == "hooks"]
        assert "Connection refused" in finding["sentence"]
        with receiving(status(200), port) as receiver:
            assert admin(server, "hooks", "retry") == {"due": 1}
            until(lambda: receiver.got, "it was delivered")
            assert receiver.got[0].told["id"] == row["id"]
            until(lambda: waiting(server) == [], "it is done")


def test_a_backup_and_a_rotation_of_the_log_in_one_script_lose_no_event(tmp_path):
    out = tmp_path / "out"
    home = write_settings(tmp_path / "home", f"command = {json.dumps(into(out))}")
    with RunningServer.start(home) as server:
        server.stop()
        back_up(server, tmp_path / "backup")
        assert server.admin("audit", "rotate", str(tmp_path / "archive")).returncode == 0
        with server.restart():
            until(lambda: received(out), "it has come")
    assert [one["type"] for one in received(out)] == ["backed-up"]


def test_a_kill_between_the_act_and_its_delivery_loses_nothing(tmp_path):
    def fail_first(handler, number):
        status(500 if number == 0 else 200)(handler, number)

    with receiving(fail_first) as receiver:
        home = write_settings(tmp_path / "home", f'url = "{receiver.url}"')
        with RunningServer.start(home) as server:
            server.kill()
            back_up(server, tmp_path / "backup")  # as an act that fsd had no time to deliver
            with server.restart() as again:
                assert receiver.came.wait(60)
                until(lambda: len(receiver.got) == 2, "it was tried again")
                until(lambda: waiting(again) == [], "it is done")
        first, second = receiver.got
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_a_kill_during_the_delivery_repeats_it_with_the_same_id(tmp_path):
    def hang_first(handler, number):
        if number == 0:
            receiver.over.wait(60)
        else:
            status(200)(handler, number)

    with receiving(hang_first) as receiver:
        home = write_settings(tmp_path / "home", f'url = "{receiver.url}"')
        with RunningServer.start(home) as server:
            back_up(server, tmp_path / "backup")
            assert receiver.came.wait(60)
            server.kill()
            with server.restart() as again:
                admin(again, "hooks", "retry")  # the lease of the dead server would take longer
                until(lambda: len(receiver.got) == 2, "it was delivered again")
        first, second = receiver.got
        assert first.told == second.told


def test_a_test_event_shows_what_came_back(tmp_path):
    with receiving(status(503)) as receiver:
        home = write_settings(
            tmp_path / "home",
            f"command = {json.dumps([sys.executable, '-c', 'print(42)'])}",
            f'url = "{receiver.url}"',
        )
        with RunningServer.start(home) as server:
            failed = server.admin("hooks", "test")
            assert failed.returncode == 3
            assert "status 503" in failed.stderr
            assert "token" not in failed.stderr
            receiver.answer = status(200)
            told = admin(server, "hooks", "test")
            assert [one["delivered"] for one in told["results"]] == [True, True]
            assert told["results"][0]["output"] == "42\n"
            assert told["results"][1]["output"] == "what the receiver says"
            assert receiver.got[-1].told["type"] == "test"
            assert waiting(server) == []


def test_commands_for_hooks_without_one_say_so(tmp_path):
    with RunningServer.start(write_settings(tmp_path / "home")) as server:
        assert admin(server, "hooks") == {"targets": [], "waiting": [], "dropped": 0}
        for command in ("test", "retry"):
            refused = server.admin("hooks", command)
            assert refused.returncode == 2
            assert "hooks.url" in refused.stderr


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    "line",
    [
        'url = "http://example.org/"',
        'url = "http://127.0.0.1.example.org/"',
        'url = "https://name:password@example.org/"',
        'url = "ftp://example.org/"',
        'url = "https:///path"',
        'url = "https://example.org/a b"',
        'url = "https://example.org:99999/"',
        'url = "https://example.org/#part"',
        'command = "notify"',
        'command = ["notify"]',
        'command = ["/bin/notify", 3]',
        'command = ["/bin/notify\\u0000"]',
        'events = ["login"  , "no-such-event"]',
        'events = ["hook-given-up"]',
        "timeout = 0",
    ],
)
def test_a_hook_that_cannot_work_is_refused_before_the_start(tmp_path, line):
    home = write_settings(tmp_path / "home")
    (home / "fsd.toml").write_text(f"[hooks]\n{line}\n")
    refused = run("fsd", "--home", str(home), "--check-config")
    assert refused.returncode == 2
    assert "line 2: hooks." in refused.stderr
    assert "password" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_secret_survives_a_backup(tmp_path):
    home = write_settings(tmp_path / "home")
    with RunningServer.start(home) as server:
        secret = admin(server, "hooks", "secret")
        assert (home / "hook.key").stat().st_mode & 0o777 == 0o600
        back_up(server, tmp_path / "backup")
    done = run(
        "fsadmin", "--home", str(tmp_path / "new"), "restore", str(tmp_path / "backup"), env=BACKUP
    )
    assert done.returncode == 0, done.stderr
    again = run("fsadmin", "--home", str(tmp_path / "new"), "hooks", "secret", "--json")
    assert json.loads(again.stdout) == secret

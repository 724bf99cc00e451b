"""What a running server reports about itself: metrics, health, and log lines of one connection."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import struct
import time

import paramiko
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fsproto.link import Address, parse_address
from tests.support.client_processes import LOGIN, Client
from tests.support.fixed_keys import stretch
from tests.support.servers import NotReadyError, RunningServer, run
from tests.support.ssh_servers import SshServer, Visitor, give_code
from tests.support.world import until

WATCHED = (
    *("--metrics-listen", "127.0.0.1:0", "--log-format", "json"),
    *("--set", "log_level=debug"),
)


@pytest.fixture
def watched(tmp_path):
    with RunningServer.start(tmp_path / "home", *WATCHED) as server:
        yield server


@pytest.fixture(scope="module")
def only_asked(tmp_path_factory):
    """A server with metrics, for tests that only request its page and change nothing."""
    with RunningServer.start(tmp_path_factory.mktemp("asked") / "home", *WATCHED) as server:
        yield server


def listener(server: RunningServer) -> Address:
    match = re.search(r"metrics on http://(\S+)/metrics", server.log)
    assert match, server.log
    return parse_address(match[1])


def ask(where: Address, path: str, method: str = "GET", host: str | None = None):
    connection = http.client.HTTPConnection(where.host, where.port, timeout=60)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def numbers(where: Address) -> dict[str, float]:
    """Return the value of each sample on the page, by its name and labels."""
    status, page = ask(where, "/metrics")
    assert status == 200
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())):
            sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }  # fmt: skip


def test_what_people_do_is_counted_and_nobody_is_named(watched, tmp_path):
    where = listener(watched)
    before = numbers(where)
    assert before["fsd_logins_total result=ok"] == 0
    alice = Client(watched, "alice", tmp_path / "alice").enrol()
    large = stretch("large", 3_000_000)
    alice.write("large", large)
    alice.run("put", "large").ok()
    assert alice.run("cat", "large").ok().out == large
    alice.write("small", b"small")
    alice.run("put", "small").ok()
    assert alice.run("cat", "small").ok().out == b"small"
    alice.run("ls").ok()
    alice.run("shares").ok()
    alice.run("login", "--otp", "000000").fails(LOGIN)
    after = numbers(where)
    assert after["fsd_logins_total result=ok"] == 7
    assert after["fsd_logins_total result=refused"] >= 1
    assert after["fsd_received_bytes_total"] > 3_000_000
    assert after["fsd_sent_bytes_total"] > 3_000_000
    assert after["fsd_request_seconds_count kind=commit"] == 2
    for kind in ("list", "fetch", "getshared", "download", "lookup"):
        assert after[f"fsd_request_seconds_count kind={kind}"] >= 1
    assert after["fsd_accepted"] >= 4
    assert after["fsd_disk_free_bytes"] > 0
    assert after["process_resident_memory_bytes"] > 0
    page = ask(where, "/metrics")[1]
    assert "alice" not in page
    assert "127.0.0.1" not in page


def test_logins_over_ssh_are_counted_with_the_others(tmp_path):
    door = SshServer.start(tmp_path / "home", "--metrics-listen", "127.0.0.1:0")
    with door.server:
        where = listener(door.server)
        alice = Visitor.enrolled(door.server, "alice", tmp_path / "alice")
        before = numbers(where)
        with door.transport() as transport:
            with pytest.raises(paramiko.AuthenticationException):
                give_code(transport, "alice", "000000x")
            transport.auth_publickey("alice", alice.key)
            give_code(transport, "alice", alice.code())
            after = numbers(where)
            assert after["fsd_ssh_connections"] == 1
        for result in ("ok", "refused"):
            name = f"fsd_logins_total result={result}"
            assert after[name] == before[name] + 1
        assert after["fsd_logins_total result=failed"] == 0
        until(lambda: numbers(where)["fsd_ssh_connections"] == 0, "it is gone")


def test_health_is_reported(only_asked):
    where = listener(only_asked)
    assert ask(where, "/healthz") == (200, "ok\n")
    assert ask(where, "/healthz", "HEAD") == (200, "")
    assert ask(where, "/nothing")[0] == 404
    assert ask(where, "/metrics", "POST")[0] == 405


def test_a_database_that_does_not_answer_is_ill_health(tmp_path, postgres):
    url = postgres.new_database()
    options = ("--metrics-listen", "127.0.0.1:0")
    with RunningServer.start(tmp_path / "home", *options, database=url) as server:
        where = listener(server)
        assert ask(where, "/healthz") == (200, "ok\n")
        import psycopg

        name = url.partition("@/")[2].partition("?")[0]
        folder = url.partition("host=")[2]
        with psycopg.connect(
            f"host={folder} user=postgres dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
            connection.execute(
                b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
        until(lambda: ask(where, "/healthz")[0] == 503, "the database is missed")
        assert "database" in ask(where, "/healthz")[1]
        assert ask(where, "/metrics")[0] == 200


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil:1"]
)
def test_a_page_in_a_browser_does_not_get_in_by_a_name_of_its_own(only_asked, host):
    assert ask(listener(only_asked), "/metrics", host=host)[0] == 403


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"GET " + b"x" * 20_000,
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 5_000 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nHost\t: localhost\r\n\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_noise_gets_no_numbers_and_costs_nothing(only_asked, said):
    where = listener(only_asked)
    with socket.create_connection((where.host, where.port), 10) as sock:
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert b"200 OK" not in answer
    assert ask(where, "/healthz") == (200, "ok\n")
    assert "Traceback" not in only_asked.log


def test_a_request_that_trickles_is_ended(watched):
    where = listener(watched)
    started = time.monotonic()
    with socket.create_connection((where.host, where.port), 10) as sock:
        with contextlib.suppress(OSError):
            for byte in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nx: " + b"x" * 90:
                sock.sendall(bytes([byte]))
                time.sleep(0.1)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(4096) == b""
    assert time.monotonic() - started < 20
    assert ask(where, "/healthz") == (200, "ok\n")
    assert "Traceback" not in watched.log


def test_metrics_are_off_by_default_and_on_loopback_only(tmp_path):
    with RunningServer.start(tmp_path / "home") as server:
        assert "metrics" not in server.log.replace(str(server.home), "")
    refused = run("fsd", "--home", str(tmp_path / "other"), "--metrics-listen", "0.0.0.0:0")
    assert refused.returncode == 2
    assert "loopback" in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NotReadyError, match="Cannot serve metrics"):
            RunningServer.start(tmp_path / "home", "--metrics-listen", where)


def test_all_lines_of_a_connection_and_a_request_are_found(watched, tmp_path):
    alice = Client(watched, "alice", tmp_path / "alice").enrol()
    alice.write("file", b"content")
    alice.run("put", "file").ok()
    until(lambda: '"kind": "commit"' in watched.log, "the commit was logged")
    lines = [json.loads(line) for line in watched.log.splitlines()]
    commit = next(line for line in lines if line.get("kind") == "commit")
    assert re.fullmatch("[0-9a-f]{12}", commit["connection"])
    assert commit["request"] > 1
    own = [line for line in lines if line.get("connection") == commit["connection"]]
    assert any(line.get("user") == "alice" for line in own)
    ids = {line["connection"] for line in lines if "connection" in line}
    assert len(ids) >= 2
    assert "file" not in [word for line in lines for word in str(line.get("event")).split()]


def health_listener(server: RunningServer) -> Address:
    match = re.search(r"health on http://(\S+)/healthz", server.log)
    assert match, server.log
    return parse_address(match[1])


def test_a_balancer_elsewhere_may_ask_for_health_and_for_nothing_else(tmp_path):
    options = ("--health-listen", "127.0.0.1:0")
    with RunningServer.start(tmp_path / "home", *options) as server:
        where = health_listener(server)
        for host in (None, "fs.example.org", "192.0.2.1:9465"):
            assert ask(where, "/healthz", host=host) == (200, "ok\n")
        assert ask(where, "/metrics")[0] == 404
        with socket.create_connection((where.host, where.port), 10) as bare:
            bare.sendall(b"OPTIONS /healthz HTTP/1.0\r\n\r\n")
            assert bare.recv(100).startswith(b"HTTP/1.1 405")
        with socket.create_connection((where.host, where.port), 10) as bare:
            bare.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")  # as HAProxy asks
            assert bare.recv(100).startswith(b"HTTP/1.1 200")
        hang_up(where)
        assert ask(where, "/healthz") == (200, "ok\n")
        logged = server.log
    assert "Traceback" not in logged
    assert "error" not in logged.lower(), logged


def hang_up(where: Address) -> None:
    """Ask in several ways, and leave with a reset before the answer."""
    for said in (b"", b"GET /healthz HTTP/1.0\r\n", b"GET /healthz HTTP/1.0\r\n\r\n"):
        for _ in range(10):
            with socket.create_connection((where.host, where.port), 10) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(said)


def test_a_server_that_stops_is_unhealthy_until_it_ends(tmp_path):
    options = ("--health-listen", "127.0.0.1:0", "--set", "door.drain=30")
    with RunningServer.start(tmp_path / "home", *options) as server:
        where = health_listener(server)
        alice = Client(server, "alice", tmp_path / "alice").enrol()
        writer = alice.start("put", "-", "large", piped=True)
        with writer:
            assert writer.stdin is not None
            writer.stdin.write(b"x" * 12_000_000)
            writer.stdin.flush()
            until(lambda: staged(server), "an upload is in progress")
            server.process.terminate()
            until(lambda: "stopping" in server.log, "the server is stopping")
            status, told = ask(where, "/healthz")
            assert status == 503
            assert "stopping" in told
            writer.kill()


def staged(server: RunningServer) -> bool:
    return any(one.is_file() for one in (server.home / "blobs").rglob("*"))

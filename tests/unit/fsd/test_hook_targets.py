"""One delivery to a command and to a webhook: whatever these do, it ends and says how."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fsd.hooks import command, webhook
from fsd.hooks.payload import HookMessage, headers, new_secret, read_secret
from fsproto.errors import IntegrityError
from tests.support.hook_receiver import receiving, status
from tests.support.servers import ROOT
from tests.support.world import until

KEY = bytes(range(32))
MESSAGE = HookMessage(
    "ab12",
    "dropped",
    1_764_435_723_456,
    "drop-key:x",
    "alice",
    "192.0.2.7",
    '\'; rm -rf ~; "$(id)"',
)
SOON_S = 0.5
PATIENCE_S = 10.0


def post(url: str, timeout_s: float = PATIENCE_S):
    return webhook.post(url, MESSAGE, KEY, timeout_s)


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def running(script: str, timeout_s: float = PATIENCE_S):
    return command.run(python(script), MESSAGE, timeout_s)


# --- the signature


def test_the_signature_is_that_of_standard_webhooks():
    # The vector of the reference libraries, https://github.com/standard-webhooks.
    key = read_secret(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    known = HookMessage("msg_p5jXN8AQM9LWM0D4loKWxJek", "", 0, "", "", "", "")
    told = headers(known, b'{"test": 2432232314}', key, 1614265330)
    assert told["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "content", [b"", b"whsec_", b"whsec_AAAA", b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"whsec_%%%%"]
)
def test_a_secret_that_is_none_is_refused(content):
    with pytest.raises(IntegrityError, match="unusable"):
        read_secret(content)
    assert read_secret(new_secret(KEY)) == KEY


def test_the_example_in_the_documentation_accepts_only_genuine_events():
    page = (ROOT / "docs" / "operations.md").read_text()
    example = re.search(r"```python\n(import base64.*?)```", page, re.DOTALL)
    assert example
    scope: dict[str, Any] = {}
    exec(example[1], scope)
    is_genuine = scope["is_genuine"]
    secret, body, now_s = new_secret(KEY).decode().strip(), MESSAGE.body(), int(time.time())
    told = headers(MESSAGE, body, KEY, now_s)
    assert is_genuine(told, body, secret)
    assert is_genuine(
        told | {"webhook-signature": f"v1,AA {told['webhook-signature']}"}, body, secret
    )
    assert not is_genuine(told, body + b" ", secret)
    assert not is_genuine(told | {"webhook-id": "other"}, body, secret)
    assert not is_genuine(told, body, new_secret(bytes(32)).decode().strip())
    assert not is_genuine(headers(MESSAGE, body, KEY, now_s - 3600), body, secret)


# --- the webhook


def test_a_webhook_gets_the_event_signed_and_without_more():
    with receiving(status(204)) as receiver:
        outcome = post(receiver.url)
    (got,) = receiver.got
    assert outcome.ok
    assert got.path == "/hook?token=abc"
    assert got.is_signed_with(new_secret(KEY).decode().strip())
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < PATIENCE_S
    assert got.told == {
        "type": "dropped",
        "id": "ab12",
        "timestamp": "2025-11-29T17:02:03.456Z",
        "data": {
            "actor": "drop-key:x",
            "user": "alice",
            "address": "192.0.2.7",
            "detail": '\'; rm -rf ~; "$(id)"',
            "count": 1,
        },
    }


@pytest.mark.parametrize("code", [400, 404, 410, 429, 500, 503])
def test_another_status_is_a_failure(code):
    with receiving(status(code)) as receiver:
        outcome = post(receiver.url)
    assert not outcome.ok
    assert f"status {code}" in outcome.told
    assert "token" not in outcome.told


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(code):
    with receiving(status(200)) as other, receiving(status(code, Location=other.url)) as receiver:
        outcome = post(receiver.url)
        assert not outcome.ok
        assert "redirect" in outcome.told
        assert other.got == []


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    with receiving(status(200)) as proxy, receiving(status(200)) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        assert post(receiver.url).ok
        assert proxy.got == []


def test_a_webhook_that_hangs_meets_the_time_limit():
    with receiving(lambda _handler, _number: receiver.over.wait(PATIENCE_S)) as receiver:
        started = time.monotonic()
        outcome = post(receiver.url, SOON_S)
        assert "no answer within 0.5 s" in outcome.told
        assert time.monotonic() - started < PATIENCE_S / 2


def test_a_webhook_that_sends_a_byte_now_and_then_meets_the_time_limit_too():
    def drip(handler, _):
        while not receiver.over.wait(0.05):
            handler.wfile.write(b"H")

    with receiving(drip) as receiver:
        started = time.monotonic()
        outcome = post(receiver.url, SOON_S)
        assert "no answer within 0.5 s" in outcome.told
        assert time.monotonic() - started < PATIENCE_S / 2


def test_an_endless_answer_is_not_read_to_its_end():
    def endless(handler, _):
        handler.send_response(200)
        handler.end_headers()
        while not receiver.over.is_set():
            handler.wfile.write(b"x" * 65_536)

    with receiving(endless) as receiver:
        outcome = post(receiver.url)
        assert outcome.ok
        assert len(outcome.output) == webhook.MOST_READ


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 20", b"\0\xff not HTTP\r\n\r\n", b"220 smtp\r\n"]
)
def test_an_answer_that_breaks_off_or_is_not_http_is_a_failure(start):
    with receiving(lambda handler, _: handler.wfile.write(start)) as receiver:
        outcome = post(receiver.url)
        assert not outcome.ok
        assert outcome.told


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a new key and a certificate that it has signed itself, for a name or an address."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-nodes", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={name}"]
    words += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return key, certificate


@pytest.mark.parametrize(
    ("name", "trusted", "delivered"),
    [("IP:127.0.0.1", True, True), ("IP:127.0.0.1", False, False), ("IP:127.0.0.2", True, False)],
)
def test_https_needs_a_trusted_certificate_of_that_host(
    tmp_path, monkeypatch, name, trusted, delivered
):
    key, certificate = make_certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiving(status(200), certificate=(key, certificate)) as receiver:
        outcome = post(f"https://127.0.0.1:{receiver.port}/")
        assert outcome.ok is delivered
        assert len(receiver.got) == delivered
        assert delivered or "certificate is not valid" in outcome.told


def test_a_server_without_tls_gets_no_event_over_https():
    with receiving(status(200)) as receiver:
        outcome = post(f"https://127.0.0.1:{receiver.port}/", SOON_S)
        assert not outcome.ok
        assert receiver.got == []


def test_a_closed_port_is_a_failure_at_once():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outcome = post(f"http://127.0.0.1:{port}/")
    assert outcome.told == "it cannot be reached: Connection refused"


# --- the command


def test_a_command_gets_the_event_as_it_is_and_no_shell_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FSD_DATABASE", "postgresql://fsd:password@host/fsd")
    out = tmp_path / "a file; touch x"
    script = (
        "import os, sys, json; json.dump([sys.argv, dict(os.environ), sys.stdin.read(), "
        "os.getcwd()], open(sys.argv[1], 'w'))"
    )
    words = [*python(script), str(out), "$(touch y)", "a b"]
    assert command.run(words, MESSAGE, PATIENCE_S).ok
    argv, environment, given, folder = json.loads(out.read_text())
    assert argv[1:] == [str(out), "$(touch y)", "a b"]
    assert json.loads(given)["data"]["detail"] == '\'; rm -rf ~; "$(id)"'
    assert folder == "/"
    assert "password" not in json.dumps(environment)
    assert environment["FS_HOOK_EVENT"] == "dropped"


def test_the_exit_status_decides_and_the_output_is_the_reason():
    assert running("raise SystemExit(0)").ok
    failed = running("print('no room'); raise SystemExit(3)")
    assert (failed.ok, failed.told) == (False, "exit status 3: no room")
    killed = running("import os; os.kill(os.getpid(), 9)")
    assert (killed.ok, killed.told) == (False, "ended by signal 9")


@pytest.mark.parametrize("words", [["/does/not/exist"], ["/etc/passwd"], ["/"]])
def test_a_command_that_cannot_be_started_is_a_failure(words):
    outcome = command.run(words, MESSAGE, PATIENCE_S)
    assert not outcome.ok
    assert outcome.told.startswith("it cannot be started: ")


def test_a_command_that_hangs_is_killed_with_all_it_has_started(tmp_path):
    note = tmp_path / "pid"
    script = (
        "import os, time\n"
        "child = os.fork()\n"
        f"child and open({str(note)!r}, 'w').write(str(child))\n"
        "time.sleep(100)"
    )
    started = time.monotonic()
    outcome = running(script, 2 * SOON_S)
    assert outcome.told == "it did not end within 1 s"
    assert time.monotonic() - started < PATIENCE_S
    until(lambda: not is_alive(int(note.read_text())), "the child has ended")


def test_a_process_that_a_command_leaves_behind_holds_nothing_up_and_ends(tmp_path):
    note = tmp_path / "pid"
    script = (
        "import os, time\n"
        "child = os.fork()\n"
        "if not child: time.sleep(100)\n"
        f"open({str(note)!r}, 'w').write(str(child))"
    )
    started = time.monotonic()
    assert running(script).ok
    assert time.monotonic() - started < PATIENCE_S
    until(lambda: not is_alive(int(note.read_text())), "the child has ended")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_that_writes_megabytes_is_not_held_up_and_a_little_is_kept():
    outcome = running("import sys; sys.stdout.write('y' * 5_000_000); sys.exit(4)")
    assert outcome.told.startswith("exit status 4: yyy")
    assert len(outcome.output) == command.MOST_KEPT
    assert len(outcome.stored) <= 256


def test_a_command_that_reads_nothing_may_succeed():
    assert running("import os; os.close(0)").ok


def test_terminal_sequences_of_a_command_are_not_stored():
    stored = running(r"print('\x1b[2J\0', end=''); raise SystemExit(1)").stored
    assert stored.startswith("exit status 1: ")
    assert stored.isprintable()


def test_a_server_that_stops_ends_the_command():
    stopping = threading.Event()
    threading.Timer(SOON_S, stopping.set).start()
    started = time.monotonic()
    outcome = command.run(python("import time; time.sleep(100)"), MESSAGE, 60, stopping.is_set)
    assert outcome.told == "fsd was stopped"
    assert time.monotonic() - started < PATIENCE_S


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left():
    before = open_descriptors()
    with receiving(status(500)) as receiver:
        for _ in range(3):
            running("pass")
            post(receiver.url)
    until(lambda: open_descriptors() <= before, "all are closed")

"""The web listener, over real sockets: what it serves, and what it refuses all in one way."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import Any, Self

import pytest
from sqlalchemy import select

from fsd.net.web.server import WebServer
from fsd.policies import WebPolicy
from fsd.store.audit_models import AuditEntry
from fsd.web_page import made_page
from fsproto.links.secret import LinkSecret
from fsproto.types import Root
from tests.support.fixed_keys import stretch
from tests.support.services import Services
from tests.unit.fsd.test_links import SEALED, Link, writer

REFUSAL_S = 0.2
CONTENT = stretch("sealed content", 200_000)


class Web:
    """A web listener in a thread of this process."""

    def __init__(self, office: Services, policy: WebPolicy) -> None:
        self.counted: list[tuple[str, int, int]] = []
        self._office, self._policy = office, policy
        self._loop = asyncio.new_event_loop()
        self._stop, self._opened = asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self.address = ("", 0)

    async def _run(self) -> None:
        server = WebServer(
            self._office.receivers,
            self._office.uploaders,
            self._policy,
            REFUSAL_S,
            lambda *one: self.counted.append(one),
        )
        self.address = await server.open("127.0.0.1", 0)
        self._opened.set()
        await self._stop.wait()
        await server.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._opened.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def ask(
        self, method: str, path: str, shown: str = "", **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        line = HTTPConnection(*self.address, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if shown:
            sent["Authorization"] = shown
        line.request(method, path, headers=sent)
        answer = line.getresponse()
        body = answer.read()
        line.close()
        return answer, body


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def opened(office: Services) -> Iterator[Callable[..., Web]]:
    webs: list[Web] = []

    def make(**policy: Any) -> Web:
        webs.append(Web(office, WebPolicy(**policy)).__enter__())
        return webs[-1]

    yield make
    for web in webs:
        web.__exit__()


class Paths:
    """The paths of a link, and what to show for it."""

    def __init__(self, link: Link) -> None:
        self.link = f"/l/1/{text(link.keys.link)}"
        self.content = f"{self.link}/{text(link.root)}"
        self.proof = f"FS-Proof {text(link.keys.shown)}"


@pytest.fixture
def made(office: Services, clock) -> Link:
    alice = writer(office, clock)
    return Link(alice, "f", alice.write("f", CONTENT)).make()


def ticket_of(web: Web, paths: Paths) -> str:
    answer, body = web.ask("POST", paths.link, paths.proof)
    assert (answer.status, len(body) <= 64) == (200, True)
    return f"FS-Ticket {text(body)}"


def test_a_link_is_described_started_and_read(opened, made):
    web, paths = opened(), Paths(made)
    answer, body = web.ask("GET", paths.link, paths.proof)
    assert (answer.status, body) == (200, SEALED)
    ticket = ticket_of(web, paths)
    assert web.ask("GET", paths.link, ticket)[1] == SEALED
    answer, body = web.ask("GET", paths.content, ticket)
    assert (answer.status, body) == (200, CONTENT)
    answer, body = web.ask("HEAD", paths.content, ticket)
    assert (answer.status, body, answer.getheader("Content-Length")) == (200, b"", "200000")
    assert ("content", 200, len(CONTENT)) in web.counted


@pytest.mark.parametrize(
    ("wanted", "status", "first", "end"),
    [
        ("bytes=0-", 206, 0, 200_000),
        ("bytes=1000-", 206, 1000, 200_000),
        ("bytes=5-5", 206, 5, 6),
        ("bytes=199999-300000", 206, 199_999, 200_000),
        ("bytes=-5", 200, 0, 200_000),
        ("bytes=1-2,4-5", 200, 0, 200_000),
        ("bytes=9-3", 200, 0, 200_000),
        ("lines=1-2", 200, 0, 200_000),
    ],
)
def test_ranges_are_those_of_the_rfc(opened, made, wanted, status, first, end):
    web, paths = opened(), Paths(made)
    answer, body = web.ask("GET", paths.content, ticket_of(web, paths), Range=wanted)
    assert (answer.status, body) == (status, CONTENT[first:end])
    told = f"bytes {first}-{end - 1}/200000" if status == 206 else None
    assert answer.getheader("Content-Range") == told


def test_a_range_behind_the_end_is_refused(opened, made):
    web, paths = opened(), Paths(made)
    ticket = ticket_of(web, paths)
    answer, _ = web.ask("GET", paths.content, ticket, Range="bytes=200000-")
    assert (answer.status, answer.getheader("Content-Range")) == (416, "bytes */200000")


def test_all_refusals_are_alike_to_the_byte_and_take_their_time(opened, made, office):
    web, paths = opened(), Paths(made)
    unknown = LinkSecret(bytes(32)).keys()
    used = Link(made.alice, "f", made.root, "word").make(max_downloads=1)
    used.start()
    ticket, answers = ticket_of(web, paths), []
    for method, path, shown in (
        ("GET", f"/l/1/{text(unknown.link)}", f"FS-Proof {text(unknown.shown)}"),
        ("GET", paths.link, f"FS-Proof {text(unknown.shown)}"),
        ("GET", paths.link, ""),
        ("GET", paths.link, "FS-Proof x"),
        ("GET", paths.link, "FS-Ticket AAAA"),
        ("GET", paths.link, "Basic eDp5"),
        ("POST", paths.link, ticket),
        ("POST", f"/l/1/{text(used.keys.link)}", f"FS-Proof {text(used.keys.shown)}"),
        ("GET", f"/l/1/{text(used.keys.link)}/{text(used.root)}", ticket),
        ("GET", paths.content, paths.proof),
        ("GET", f"{paths.link}/{text(Root(bytes(32)))}", ticket),
        ("GET", "/l/1/", ticket),
        ("GET", "/l/1/%00", ticket),
    ):
        asked = time.monotonic()
        answer, body = web.ask(method, path, shown)
        assert time.monotonic() - asked >= REFUSAL_S, (method, path)
        answers.append((answer.status, body, sorted(answer.getheaders())))
    assert [one for one in answers if one != answers[0]] == []
    assert answers[0][0] == 404


def test_nothing_else_is_served(opened):
    web = opened()
    for path in ("/", "/index.html", "/metrics", "/l2", "/l/2/x", "/../etc/passwd"):
        answer, body = web.ask("GET", path)
        assert (answer.status, body) == (404, b"There is nothing here.\n")
        assert not answer.getheader("Access-Control-Allow-Origin")
    answer, body = web.ask("GET", "/l")
    assert (answer.status, b"fsclient get" in body) == (200, True)
    for method, path in (("POST", "/l"), ("PUT", "/l/1/x"), ("DELETE", "/l/1/x")):
        assert web.ask(method, path)[0].status == 405


def test_every_answer_is_safe_and_only_links_are_open_to_other_pages(opened, made):
    web, paths = opened(), Paths(made)
    answer, _ = web.ask("OPTIONS", paths.link, Origin="null")
    assert answer.status == 200
    assert answer.getheader("Access-Control-Allow-Origin") == "*"
    assert answer.getheader("Access-Control-Allow-Headers") == "Authorization, Range"
    for path in (paths.link, paths.content, "/"):
        answer, _ = web.ask("GET", path)
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("Referrer-Policy") == "no-referrer"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert (answer.getheader("Content-Security-Policy") or "").startswith("default-src 'none'")
        assert not answer.getheader("Set-Cookie")
        assert bool(answer.getheader("Access-Control-Allow-Origin")) == ("/1/" in path)


def test_the_page_is_the_published_one_and_may_only_reach_this_server(opened):
    answer, body = opened().ask("GET", "/l")
    assert body == made_page()
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert answer.getheader("Content-Security-Policy") == (
        "connect-src 'self'; frame-ancestors 'none'"
    )
    for header in ("Cache-Control", "Referrer-Policy", "X-Content-Type-Options"):
        assert answer.getheader(header)
    assert not answer.getheader("Set-Cookie")


def raw(web: Web, sent: bytes) -> bytes:
    with socket.create_connection(web.address, timeout=60) as line:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65536), b""))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET /l HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /l HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /l HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n", b"431"),
        (b"POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + bytes(5000), b"413"),
        (b"POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_ends(opened, sent, status):
    answer = raw(opened(), sent)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"Traceback" not in answer


def test_requests_that_wait_in_one_connection_are_answered_in_order(opened):
    one = b"GET /l HTTP/1.1\r\nHost: a\r\n\r\n"
    two = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = raw(opened(), one + two)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.index(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 404")


def test_a_slow_request_is_ended(opened):
    web = opened(request_s=0.2)
    with socket.create_connection(web.address, timeout=60) as line:
        line.sendall(b"GET /l HTTP/1.1\r\nHo")
        assert line.recv(100) == b""


def test_connections_of_one_address_are_limited_but_not_those_of_a_proxy(opened):
    for proxies, left in (((), 2), (("127.0.0.1",), 3)):
        web = opened(connections_of_one=2, proxies=proxies)
        lines = [socket.create_connection(web.address, timeout=60) for _ in range(3)]
        alive = 0
        for line in reversed(lines):
            try:
                line.sendall(b"GET /l HTTP/1.1\r\nHost: a\r\n\r\n")
                alive += line.recv(100).startswith(b"HTTP/1.1 200")
            except OSError:
                pass
            line.close()
        assert alive == left


def test_a_proxy_names_the_receiver_and_nobody_else_does(opened, made, office):
    wrong = f"FS-Proof {text(bytes(48))}"
    for proxies, named in (((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.9")):
        web, paths = opened(proxies=proxies), Paths(made)
        web.ask("GET", paths.link, wrong, X_Forwarded_For="198.51.100.1, 192.0.2.9")
        assert refused_from(office) == named


def refused_from(office: Services) -> str:
    """Return the address of the last refusal in the audit log."""
    with office.database.read() as db:
        found = select(AuditEntry).where(AuditEntry.event == "link-refused")
        return db.scalars(found.order_by(AuditEntry.seq.desc()).limit(1)).one().address


def test_a_download_under_way_ends_when_the_link_is_removed(opened, made, office, monkeypatch):
    monkeypatch.setattr("fsd.net.web.server.RECHECK_S", 0.0)
    monkeypatch.setattr("fsd.net.web.server.PIECE", 50_000)
    web, paths = opened(), Paths(made)
    ticket, content = ticket_of(web, paths), office.receivers.content

    def opened_and_removed(*asked: Any) -> Any:
        found = content(*asked)
        office.links.remove(made.alice.person.who, [made.keys.link])
        return found

    monkeypatch.setattr(office.receivers, "content", opened_and_removed)
    with pytest.raises(IncompleteRead) as ended:
        web.ask("GET", paths.content, ticket)
    assert len(ended.value.partial) < len(CONTENT)

"""Uploads with request links over real sockets: what the web listener takes and refuses."""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPResponse

import pytest

from fsd.web_page import made_page
from fsproto.limits import SEGMENT_SIZE
from fsproto.packing import pack, unpack
from fsproto.requests.upload import UploadState
from tests.support.fixed_keys import stretch
from tests.support.requests import Asked, SealedFile
from tests.unit.fsd.test_web_listener import Web, opened, text  # noqa: F401 - a fixture

LARGE = stretch("a large file", 2 * SEGMENT_SIZE + 1000)


@pytest.fixture
def asked(office, clock) -> Asked:
    alice = office.add("alice")
    alice.enrol(office, clock())
    return Asked(office, alice).make()


class Sender:
    """Sends a file of a request link over one connection."""

    def __init__(self, web: Web, asked: Asked, file: SealedFile) -> None:
        self.file, self.asked = file, asked
        self.path = f"/r/1/{text(asked.keys.request)}"
        self.proof = f"FS-Proof {text(asked.keys.shown)}"
        self.line = HTTPConnection(*web.address, timeout=60)
        self.ticket = ""

    def ask(
        self, method: str, path: str, body: bytes = b"", shown: str | None = None
    ) -> tuple[HTTPResponse, bytes]:
        headers = {"Authorization": self.ticket if shown is None else shown}
        self.line.request(method, self.path + path, body or None, headers)
        answer = self.line.getresponse()
        return answer, answer.read()

    def start(self) -> UploadState:
        answer, body = self.ask("POST", "", pack(self.file.start), self.proof)
        assert answer.status == 200
        state = unpack(body, UploadState)
        self.ticket = f"FS-Ticket {text(state.ticket)}"
        return state

    def put(self, first: int, body: bytes) -> tuple[HTTPResponse, bytes]:
        return self.ask("PUT", f"/{text(self.file.drop)}/{first}", body)

    def finish(self) -> tuple[HTTPResponse, bytes]:
        return self.ask("POST", f"/{text(self.file.drop)}", pack(self.file.end))


@pytest.fixture
def sender(opened, asked) -> Sender:  # noqa: F811 - the fixture
    return Sender(opened(), asked, asked.file(LARGE))


def test_a_file_is_sent_over_one_connection(sender, asked):
    answer, body = sender.ask("GET", "", shown=sender.proof)
    assert (answer.status, body) == (200, asked.sealed)
    assert sender.start().segments == 0
    answer, body = sender.put(0, b"".join(sender.file.segments))
    assert (answer.status, unpack(body, UploadState).segments) == (200, 3)
    answer, body = sender.finish()
    assert (answer.status, unpack(body, UploadState).finished) == (200, True)
    assert asked.plain(asked.waiting()[0]) == LARGE


def test_what_arrived_before_a_cut_counts_in_whole_segments(opened, asked, sender):  # noqa: F811
    sender.start()
    whole = b"".join(sender.file.segments)
    with socket.create_connection(sender.line.sock.getpeername()) as line:
        head = (
            f"PUT {sender.path}/{text(sender.file.drop)}/0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {sender.ticket}\r\nContent-Length: {len(whole)}\r\n\r\n"
        )
        line.sendall(head.encode() + whole[: SEGMENT_SIZE + 5000])
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1000).startswith(b"HTTP/1.1 400 ")
    assert sender.start().segments == 1
    assert sender.put(1, whole[SEGMENT_SIZE:])[0].status == 200
    assert sender.finish()[0].status == 200
    assert asked.plain(asked.waiting()[0]) == LARGE


def test_a_refusal_says_why_and_the_connection_goes_on(sender, asked):
    sender.start()
    answer, body = sender.put(1, sender.file.segments[1])
    assert (answer.status, body) == (409, b"order\n")
    answer, body = sender.put(0, sender.file.segments[0])
    assert answer.status == 200
    answer, body = sender.ask("DELETE", f"/{text(sender.file.drop)}")
    assert (answer.status, body) == (200, b"")
    assert asked.shown().files == 0
    assert sender.put(1, sender.file.segments[1])[0].status == 404


def test_unknown_ids_proofs_and_tickets_are_answered_alike(sender, asked):
    sender.start()
    drop, right = text(sender.file.drop), sender.path
    answers = []
    for path, method, shown in (
        ("", "GET", f"FS-Proof {text(bytes(48))}"),
        ("", "GET", ""),
        ("", "GET", sender.ticket),
        ("", "POST", f"FS-Proof {text(bytes(48))}"),
        (f"/{drop}/0", "PUT", sender.proof),
        (f"/{drop}/0", "PUT", f"FS-Ticket {text(bytes(40))}"),
        (f"/{text(bytes(16))}/0", "PUT", sender.ticket),
        (f"/{drop}", "DELETE", ""),
    ):
        body = pack(sender.file.start) if method == "POST" else b"x" * 100
        answer, said = sender.ask(method, path, body if method != "GET" else b"", shown)
        answers.append((answer.status, sorted(answer.getheaders()), said))
    sender.path = f"/r/1/{text(bytes(16))}"
    answer, said = sender.ask("GET", "", shown=sender.proof)
    answers.append((answer.status, sorted(answer.getheaders()), said))
    assert answers.count(answers[0]) == len(answers)
    assert answers[0][0] == 404
    sender.path = right


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\xc4\0\xc4\0\0\0"])
def test_a_malformed_body_is_refused(sender, body):
    answer, _ = sender.ask("POST", "", body, sender.proof)
    assert answer.status == 400


def test_a_body_that_is_too_long_is_refused(sender, asked):
    sender.start()
    answer, _ = sender.ask("POST", f"/{text(sender.file.drop)}", bytes(20_000))
    assert answer.status == 413
    assert asked.waiting() == []


def test_pages_from_another_place_may_send(opened, sender):  # noqa: F811
    answer, _ = sender.ask("OPTIONS", f"/{text(sender.file.drop)}/0", shown="")
    assert answer.status == 200
    assert "PUT" in answer.getheader("Access-Control-Allow-Methods")
    assert "Content-Type" in answer.getheader("Access-Control-Allow-Headers")
    assert answer.getheader("Access-Control-Allow-Origin") == "*"


def test_the_page_is_served_for_request_links_too(opened):  # noqa: F811
    web = opened()
    answer, body = web.ask("GET", "/r")
    assert (answer.status, body) == (200, made_page())
    assert web.ask("GET", "/r/2/x")[0].status == 404
    assert web.ask("PATCH", "/r/1/x")[0].status == 405


def test_a_body_that_stalls_ends_and_whole_segments_stay(opened, asked):  # noqa: F811
    web = opened(stall_s=0.3)
    sender = Sender(web, asked, asked.file(LARGE))
    sender.start()
    with socket.create_connection(web.address) as line:
        line.settimeout(60)
        head = (
            f"PUT {sender.path}/{text(sender.file.drop)}/0 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {sender.ticket}\r\nContent-Length: {len(LARGE)}\r\n\r\n"
        )
        line.sendall(head.encode() + sender.file.segments[0] + b"more")
        assert line.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert sender.start().segments == 1

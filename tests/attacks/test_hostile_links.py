"""Servers of public links that lie to a receiver: nothing gets its final name, or a wrong one.

The server here is written for this test; it has the descriptions and contents of two links, made
by `fsproto`, and a lie about one of them.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fsclient.app import App
from fsclient.connection.retry import Timeouts
from fsd.web_page import made_page
from fsproto.limits import SEGMENT_SIZE
from fsproto.links.description import LinkedFile, describe, seal_description
from fsproto.links.secret import LinkSecret
from fsproto.links.url import PAGE, LinkUrl
from fsproto.sealed import stream
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import NodeKind
from fsproto.types import FileKey, NodeId, Salt
from tests.support.fixed_keys import Seeded, stretch
from tests.support.world import Ran, ran

SMALL, OTHER = b"what was linked\n", b"something else\n."
LARGE = stretch("large", 5 * SEGMENT_SIZE)


def sealed(name: str, plain: bytes, version: int = 1) -> tuple[LinkedFile, bytes]:
    """Return a file of a link, and its sealed content."""
    node, salt = NodeId(stretch(f"{name} node", 16)), Salt(stretch(f"{name} {version} salt", 32))
    key = FileKey(stretch(f"{name} {version} key", 32))
    sealer = stream.StreamSealer(key, stream.content_ad(node, version), salt)
    count = stream.segment_count(len(plain))
    blob = b"".join(
        sealer.seal(
            at,
            plain[stream.plain_start(at) : stream.plain_end(at + 1, len(plain))],
            last=at == count - 1,
        )
        for at in range(count)
    )
    root = blob_root(salt, blob)
    return LinkedFile(
        name, len(plain), 1_700_000_000_000_000_000, 0, node, version, salt, root, key
    ), blob


class Made:
    """A link as the server has it."""

    def __init__(self, seed: str, name: str, plain: bytes, version: int = 1) -> None:
        self.secret = LinkSecret.new(guarded=False, random=Seeded(seed))
        self.keys = self.secret.keys()
        self.file, self.blob = sealed(name, plain, version)
        body = describe(NodeKind.FILE, name, "", [self.file], [])
        self.description = seal_description(self.keys, body)


@dataclass
class Lie:
    """What the server does to what it sends; an honest one does nothing."""

    description: Callable[[bytes], bytes] = lambda sealed: sealed
    content: Callable[[bytes], bytes] = lambda blob: blob
    status: int | None = None
    """The status of every answer."""
    length: Callable[[int], int] = lambda length: length
    """The stated length of contents."""
    stops_after: int | None = None
    """Bytes of a content after which the connection ends; once."""
    status_then: int | None = None
    """The status of every answer after that."""
    asked: list[str] = field(default_factory=list)
    started: int = 0
    """Downloads that were started."""
    first_bytes: list[int] = field(default_factory=list)
    """Where the contents that were sent started."""


class Server(ThreadingHTTPServer):
    """A server of links."""

    daemon_threads = True

    def __init__(self, *links: Made) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.links = links
        self.lie = Lie()

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""

    def url(self, link: Made) -> str:
        return str(LinkUrl(f"http://127.0.0.1:{self.server_address[1]}", link.secret))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.server.lie.started += 1
        self._say(b"a ticket")

    def do_GET(self) -> None:
        if self.path == PAGE:
            self._say(made_page(), kind="text/html")
            return
        lie, parts = self.server.lie, self.path.split("/")
        lie.asked.append(self.path)
        wanted = base64.urlsafe_b64decode(parts[3] + "==")
        link = next(one for one in self.server.links if one.keys.link == wanted)
        if len(parts) == 4:
            self._say(lie.description(link.description))
            return
        blob = lie.content(link.blob)
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        at = int(first[1]) if first else 0
        lie.first_bytes.append(at)
        self._say(blob[at:], 206 if first else 200, lie.length(len(blob[at:])))

    def _say(
        self, body: bytes, status: int = 200, length: int | None = None, kind: str = "x/sealed"
    ) -> None:
        lie = self.server.lie
        self.send_response(lie.status or status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if lie.stops_after is not None and len(body) > lie.stops_after:
            body, lie.stops_after, self.close_connection = body[: lie.stops_after], None, True
            lie.status = lie.status_then
        self.wfile.write(body)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    links = (
        Made("one", "notes.txt", SMALL),
        Made("two", "notes.txt", OTHER),
        Made("three", "large.bin", LARGE),
    )
    with Server(*links) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def receive(server: Server, tmp_path: Path) -> Callable[..., Ran]:
    """A receiver's client in an empty folder, without a home; the server is honest at first."""
    server.lie = Lie()
    folder = tmp_path / "received"
    folder.mkdir()

    def run(command: str, number: int, *args: str, give_up_s: float = 0.0) -> Ran:
        before = Path.cwd()
        os.chdir(folder)
        try:
            app = App(Timeouts(give_up_s=give_up_s, first_pause_s=0.01))
            return ran(
                app, "--home", tmp_path / "none", command, server.url(server.links[number]), *args
            )
        finally:
            os.chdir(before)

    return run


def received(tmp_path: Path) -> dict[str, bytes]:
    """Return the files that have their final names."""
    folder = tmp_path / "received"
    return {
        one.name: one.read_bytes() for one in folder.iterdir() if not one.name.endswith(".fs-part")
    }


def test_an_honest_server_is_believed(server, receive, tmp_path):
    receive("get", 0).succeeds()
    receive("get", 2).succeeds()
    assert received(tmp_path) == {"notes.txt": SMALL, "large.bin": LARGE}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


ONE, TWO = Made("one", "notes.txt", SMALL), Made("two", "notes.txt", OTHER)
RENAMED = Made("forged", "run-me.sh", SMALL)
LONGER = Made("forged", "notes.txt", SMALL + b"and more")
OLDER = Made("one", "notes.txt", b"as it was before", 7)

LIES = {
    "the_description_of_another_link": Lie(description=lambda _: TWO.description),
    "the_description_of_another_link_under_this_commitment": Lie(
        description=lambda sealed: sealed[:32] + TWO.description[32:]
    ),
    "another_name": Lie(description=lambda _: RENAMED.description),
    "another_size": Lie(description=lambda _: LONGER.description),
    "a_changed_description": Lie(description=lambda sealed: flipped(sealed, 100)),
    "a_cut_description": Lie(description=lambda sealed: sealed[:-20]),
    "an_empty_description": Lie(description=lambda _: b""),
    "an_endless_description": Lie(description=lambda _: bytes((1 << 23) + 1)),
    "the_content_of_another_link": Lie(content=lambda _: TWO.blob),
    "an_older_version": Lie(content=lambda _: OLDER.blob),
    "a_changed_content": Lie(content=lambda blob: flipped(blob, 60)),
    "a_changed_header": Lie(content=lambda blob: flipped(blob, 5)),
    "a_longer_content": Lie(content=lambda blob: blob + b"x"),
    "a_shorter_content": Lie(content=lambda blob: blob[:-1]),
    "a_status_of_no_meaning": Lie(status=299),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_and_leaves_no_file(server, receive, tmp_path, lie):
    server.lie = LIES[lie]
    receive("get", 0).fails(7)
    assert received(tmp_path) == {}


@pytest.mark.parametrize("lie", [one for one in LIES if "description" in one])
def test_a_listing_is_verified_too(server, receive, lie):
    server.lie = LIES[lie]
    receive("ls", 0).fails(7)


def test_a_file_that_is_here_is_not_replaced_by_a_lie(server, receive, tmp_path):
    (tmp_path / "received/notes.txt").write_bytes(b"mine")
    server.lie = Lie(content=lambda _: TWO.blob)
    receive("get", 0).fails(7)
    assert received(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("segment", [0, 1, 4])
def test_a_changed_segment_of_a_large_file_is_refused(server, receive, tmp_path, segment):
    server.lie = Lie(content=lambda blob: flipped(blob, segment * SEGMENT_SIZE + 999))
    receive("get", 2).fails(7)
    assert received(tmp_path) == {}


def test_segments_in_another_order_are_refused(server, receive, tmp_path):
    size = SEGMENT_SIZE
    server.lie = Lie(
        content=lambda blob: (
            blob[:size] + blob[2 * size : 3 * size] + blob[size : 2 * size] + blob[3 * size :]
        )
    )
    receive("get", 2).fails(7)
    assert received(tmp_path) == {}


def test_a_download_that_is_cut_is_resumed_and_verified(server, receive, tmp_path):
    server.lie = Lie(stops_after=2 * SEGMENT_SIZE + 100)
    receive("get", 2).fails(3)
    assert received(tmp_path) == {}
    server.lie = Lie()
    receive("get", 2).succeeds()
    assert received(tmp_path) == {"large.bin": LARGE}
    (folder,) = {one.parent for one in (tmp_path / "received").iterdir()}
    assert [one.name for one in folder.iterdir()] == ["large.bin"]


def test_a_lost_connection_is_opened_again_within_one_command(server, receive, tmp_path):
    server.lie = Lie(stops_after=2 * SEGMENT_SIZE + 100)
    receive("get", 2, give_up_s=30).succeeds()
    assert received(tmp_path) == {"large.bin": LARGE}


def test_a_resumed_download_does_not_rely_on_what_is_on_disk(server, receive, tmp_path):
    server.lie = Lie(stops_after=3 * SEGMENT_SIZE)
    receive("get", 2).fails(3)
    (partial,) = (tmp_path / "received").glob(".large.bin.*.fs-part")
    data = bytearray(partial.read_bytes())
    data[1000] ^= 1
    partial.write_bytes(data)
    server.lie = Lie()
    receive("get", 2).succeeds()
    assert received(tmp_path) == {"large.bin": LARGE}


def test_the_server_never_gets_the_secret(server, receive):
    server.lie = Lie()
    receive("get", 0).succeeds()
    link = server.links[0]
    encoded = base64.urlsafe_b64encode(link.secret.secret).decode().rstrip("=")
    asked = " ".join(server.lie.asked)
    assert encoded not in asked
    assert base64.urlsafe_b64encode(link.keys.key).decode().rstrip("=") not in asked

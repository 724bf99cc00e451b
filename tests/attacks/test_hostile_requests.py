"""Servers that cheat with request links: towards their owner, and towards uploaders."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace

from fsclient.app import App
from fsclient.connection.retry import Timeouts
from fsproto.drop import Drop, DropContent, RequestedDrop, content_ad
from fsproto.keys.identity import Identity, NamedBundle, named_bundle
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.base import Done, Message
from fsproto.messages.drops import Drops, RemoveDrops
from fsproto.messages.requests import OwnRequest, RequestMade, Requests
from fsproto.packing import pack, unpack
from fsproto.requests.description import RequestDescription, seal_request
from fsproto.requests.drop import NewDrop, RequestNote
from fsproto.requests.secret import RequestSecret
from fsproto.requests.upload import StartUpload, UploadState
from fsproto.requests.url import RequestUrl, parse_url
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.stream import StreamSealer
from fsproto.types import RequestId
from tests.support.fixed_keys import Seeded, person, stretch
from tests.support.hostile_server import HostileServer, Lie, Rewrites
from tests.support.world import Person, Ran, World, ran

# --- towards the owner


def asked(alice: Person, *options: str) -> RequestUrl:
    """Have a person make a request link; return its URL."""
    made = json.loads(alice.run("--json", "request", *options).succeeds())
    return parse_url(made["url"])


def sealed_for(url: RequestUrl, owner: NamedBundle, mark: bytes | None = None) -> Drop:
    """Return a drop as an uploader seals it; with another mark, as the server could."""
    keys = url.secret.keys()
    made = NewDrop.to(owner, keys.request, mark or keys.mark, os.urandom)
    sealer = StreamSealer(made.keys.file_key, content_ad(made.drop), made.salt)
    blob = sealer.seal(0, b"sent", last=True)
    content = DropContent(made.salt, blob_root(made.salt, blob), len(blob))
    note = made.seal_note(content, RequestNote(1, "a", 4, 0, "Bob"), os.urandom)
    arrived = RequestedDrop(keys.request, 1)
    return Drop(made.drop, url.bundle, made.wrapped, note, content, arrived)


def owner_of(alice: Person) -> NamedBundle:
    with alice.session() as session:
        bundle = session.identity.bundle
    return named_bundle(bundle.signed.payload, bundle.hash)


class Shows(Lie):
    """A server that shows drops of its choice."""

    def __init__(self, *drops: Drop) -> None:
        self._drops = list(drops)

    def answer(self, ask: Message, honestly: Callable[[Message], Message]) -> Message:
        return Done() if isinstance(ask, RemoveDrops) else honestly(ask)

    def says(self, said: Any) -> Iterable[Any]:
        if isinstance(getattr(said, "message", None), Drops):
            said = type(said)(said.request, Drops(self._drops, more=False))
        yield said


def test_a_drop_is_shown_with_the_note_of_its_request_link_alone(liar: HostileServer, world: World):
    alice = world.alice
    one, other = asked(alice, "--note", "first"), asked(alice, "--note", "second")
    honest = sealed_for(one, owner_of(alice))
    liar.lie = Shows(honest)
    (shown,) = json.loads(alice.run("--json", "inbox").succeeds())
    assert (shown["note"], shown["sender"]) == ("first", "Bob")
    elsewhere = RequestedDrop(other.secret.request, 1)
    nowhere = RequestedDrop(RequestId(bytes(16)), 1)
    for moved in (elsewhere, nowhere, None):
        liar.lie = Shows(replace(honest, arrived=moved))
        alice.run("inbox").fails(7)


def test_a_server_without_the_url_cannot_make_a_drop_of_a_request_link(
    liar: HostileServer, world: World
):
    url = asked(world.alice)
    liar.lie = Shows(sealed_for(url, owner_of(world.alice), mark=bytes(32)))
    world.alice.run("inbox").fails(7)


def changed(**changes: object) -> Callable[[OwnRequest], OwnRequest]:
    return lambda one: replace(one, **changes)


LIES = {
    "another_id": changed(request=RequestId(bytes(16))),
    "another_bundle": changed(bundle=bytes(32)),
    "another_generation": changed(generation=2),
    "no_record": changed(record=b""),
    "more_files_than_permitted": changed(max_files=1, files=2),
    "more_bytes_than_permitted": changed(max_bytes=1, size=2),
}


@pytest.mark.cases(3)
@pytest.mark.parametrize("lie", LIES)
def test_a_false_request_link_is_named_and_the_others_are_listed(
    liar: HostileServer, world: World, lie
):
    asked(world.alice, "--note", "first")
    asked(world.alice, "--note", "second")
    how = LIES[lie]
    liar.lie = Rewrites(
        Requests,
        lambda said: replace(said, requests=[how(said.requests[0]), said.requests[1]]),
    )
    shown = world.alice.run("requests")
    shown.fails(7)
    assert b"second" in shown.out
    assert b"first" not in shown.out


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a.example/#", "https://"])
def test_a_url_that_no_request_link_can_begin_with_is_not_printed(
    liar: HostileServer, world: World, url: str
):
    liar.lie = Rewrites(RequestMade, lambda _: RequestMade(url))
    made = world.alice.run("request")
    made.fails(7)
    assert made.out == b""


# --- towards uploaders


@dataclass
class Deeds:
    """What the server does; an honest one does nothing of it."""

    description: bytes = b""
    segments: int | None = None
    """What it says that it has, whatever was sent."""
    loses: bool = False
    """It loses everything once, after the first segments."""
    puts: list[tuple[int, bytes]] = field(default_factory=list)
    """The number and the bytes of the sent files."""
    ends: int = 0


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, deeds: Deeds) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.deeds = deeds
        self.have = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _state(self, *, finished: bool = False) -> None:
        deeds = self.server.deeds
        have = self.server.have if deeds.segments is None else deeds.segments
        self._say(pack(UploadState(b"ticket", have, finished)))

    def do_GET(self) -> None:
        self._say(self.server.deeds.description)

    def do_POST(self) -> None:
        body = self._body()
        if len(self.path.split("/")) == 4:
            unpack(body, StartUpload)
            self._state()
        else:
            self.server.deeds.ends += 1
            self._state(finished=True)

    def do_PUT(self) -> None:
        first, body = int(self.path.rpartition("/")[2]), self._body()
        deeds = self.server.deeds
        deeds.puts.append((first, body))
        self.server.have = first + -(-len(body) // SEGMENT_SIZE)
        if deeds.loses:
            deeds.loses, self.server.have = False, 0
        self._state()

    def do_DELETE(self) -> None:
        self._say(b"")


ALICE: Identity = person("alice")
SECRET = RequestSecret.new(guarded=False, random=Seeded("hostile request link"))


def description(bundle: Identity = ALICE, secret: RequestSecret = SECRET) -> bytes:
    body = RequestDescription(1, "", bundle.bundle.signed.payload, None, None, None)
    return seal_request(secret.keys(), ALICE.bundle.hash, body)


@contextmanager
def serving(deeds: Deeds) -> Iterator[str]:
    server = Server(deeds)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        yield str(RequestUrl(base, SECRET, ALICE.bundle.hash))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(url: str, path: Path) -> Ran:
        home = tmp_path / "home-of-nobody"
        return ran(App(Timeouts(give_up_s=0)), "--home", home, "--json", "drop", url, path)

    return run


@pytest.mark.parametrize(
    "sealed",
    [
        description(person("bob")),
        description(secret=RequestSecret(bytes(32))),
        description()[:-1],
        b"",
        bytes(9000),
    ],
    ids=["other_keys", "of_another_request", "cut", "empty", "too_long"],
)
def test_nothing_is_sent_after_a_false_description(send, tmp_path, sealed):
    path = tmp_path / "f"
    path.write_bytes(b"secret")
    deeds = Deeds(description=sealed)
    with serving(deeds) as url:
        send(url, path).fails(7)
    assert deeds.puts == []


def test_what_a_server_claims_to_have_lost_is_sent_again_with_the_same_bytes(send, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(stretch("sent twice", 3 * SEGMENT_SIZE))
    deeds = Deeds(description=description(), loses=True)
    with serving(deeds) as url:
        said = json.loads(send(url, path).succeeds())
    (one, other) = deeds.puts
    assert one == other
    assert len(said["sent"][0]["receipt"]) == 64


def test_a_server_that_claims_to_have_everything_gets_the_root_of_the_true_content(send, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"true content")
    deeds = Deeds(description=description(), segments=1)
    with serving(deeds) as url:
        said = json.loads(send(url, path).succeeds())
    assert deeds.puts == []
    assert len(said["sent"][0]["receipt"]) == 64


def test_a_server_that_never_has_enough_does_not_keep_the_uploader_for_ever(send, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(stretch("never enough", 2 * SEGMENT_SIZE))
    deeds = Deeds(description=description(), segments=0)
    with serving(deeds) as url:
        assert send(url, path).status != 0
    assert len(deeds.puts) < 100

"""A server of one request link, written for tests of uploaders: honest, or lying."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fsd.web_page import made_page
from fsproto import labels
from fsproto.drop import Drop, DropContent, content_ad
from fsproto.limits import SEGMENT_SIZE
from fsproto.packing import pack, unpack
from fsproto.requests.description import RequestDescription, seal_request
from fsproto.requests.drop import OpenedRequestDrop, open_request_drop
from fsproto.requests.secret import RequestSecret
from fsproto.requests.upload import FinishUpload, StartUpload, UploadState
from fsproto.requests.url import PAGE, RequestUrl
from fsproto.sealed import stream
from fsproto.sealed.integrity import blob_root
from fsproto.signed import payload_hash
from fsproto.types import Hash
from tests.support.fixed_keys import Seeded, person

OWNER = "alice"


@dataclass
class Behaviour:
    """What the server does; an honest one does nothing special."""

    description: Callable[[bytes], bytes] = lambda sealed: sealed
    state: Callable[[str, UploadState], UploadState] = lambda _, state: state
    """Changes the answer to a POST of a start, a PUT, or a POST of an end (`END`)."""
    refuses: Callable[[str, int], tuple[int, str] | None] = lambda _, __: None
    """Status and word for a method, and how many requests of it came before."""
    cuts_after: list[int] = field(default_factory=list)
    """Bytes of the next bodies of `PUT` after which the connection ends."""


@dataclass
class Started:
    """An upload."""

    start: StartUpload
    blob: bytearray = field(default_factory=bytearray)
    finished: FinishUpload | None = None

    @property
    def segments(self) -> int:
        if len(self.blob) == self.start.sealed_size:
            return -(-len(self.blob) // SEGMENT_SIZE)
        return len(self.blob) // SEGMENT_SIZE


class RequestServer(ThreadingHTTPServer):
    """The server; `received` opens what it got as the owner does."""

    daemon_threads = True

    def __init__(self, note: str = "", password: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = RequestSecret.new(
            guarded=password is not None, random=Seeded(f"request {note}")
        )
        self.keys = self.secret.keys(password or "")
        bundle = person(OWNER).bundle
        self.bundle = payload_hash(labels.HASH_BUNDLE, bundle.signed.payload)
        self.description = self.describe(bundle.signed.payload, self.bundle, note)
        self.does = Behaviour()
        self.uploads: dict[bytes, Started] = {}
        self.asked: list[str] = []
        self.segments_sent = 0

    def describe(self, bundle: bytes, named: Hash, note: str = "") -> bytes:
        """Return a sealed description for this URL, as a server that has the URL can make one."""
        return seal_request(self.keys, named, RequestDescription(1, note, bundle, None, None, None))

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""

    @property
    def url(self) -> str:
        base = f"http://127.0.0.1:{self.server_address[1]}"
        return str(RequestUrl(base, self.secret, self.bundle))

    def received(self) -> list[tuple[OpenedRequestDrop, bytes]]:
        """Open the drops that are complete, in the order in which they were started."""
        out = []
        for drop, upload in self.uploads.items():
            if upload.finished is None:
                continue
            salt, end, blob = upload.start.salt, upload.finished, bytes(upload.blob)
            assert blob_root(salt, blob) == end.root
            content = DropContent(salt, end.root, len(blob))
            sent = Drop(upload.start.drop, self.bundle, end.wrapped, end.note, content, None)
            opened = open_request_drop(sent, self.keys.request, self.keys.mark, person(OWNER))
            header = blob[: stream.HEADER_SIZE]
            opener = stream.StreamOpener(opened.file_key, content_ad(upload.start.drop), header)
            parts = [blob[at : at + SEGMENT_SIZE] for at in range(0, len(blob), SEGMENT_SIZE)]
            plain = [
                opener.open(index, part, last=index == len(parts) - 1)
                for index, part in enumerate(parts)
            ]
            assert drop == upload.start.drop
            out.append((opened, b"".join(plain)))
        return out


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RequestServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == PAGE:
            self._say(200, made_page(), "text/html")
        elif self._may("GET"):
            self._say(200, self.server.does.description(self.server.description))

    def do_POST(self) -> None:
        body, parts = self._body(), self.path.split("/")
        if len(parts) == 4 and self._may("START"):
            start = unpack(body, StartUpload)
            upload = self.server.uploads.setdefault(start.drop, Started(start))
            self._state("START", upload)
        elif len(parts) == 5 and self._may("END"):
            upload = self._upload(parts[4])
            upload.finished = unpack(body, FinishUpload)
            self._state("END", upload)

    def do_PUT(self) -> None:
        _, _, _, _, drop, number = self.path.split("/")
        upload = self._upload(drop)
        cuts = self.server.does.cuts_after
        if cuts:
            part = self.rfile.read(min(int(self.headers["Content-Length"]), cuts.pop(0)))
            upload.blob += part[: len(part) // SEGMENT_SIZE * SEGMENT_SIZE]
            self.connection.close()
            self.close_connection = True
            return
        body = self._body()
        if not self._may("PUT"):
            return
        if int(number) != upload.segments:
            self._say(409, b"order\n")
            return
        self.server.segments_sent += -(-len(body) // SEGMENT_SIZE)
        upload.blob += body
        self._state("PUT", upload)

    def do_DELETE(self) -> None:
        if self._may("DELETE"):
            del self.server.uploads[self._upload(self.path.split("/")[4]).start.drop]
            self._say(200, b"")

    def _may(self, method: str) -> bool:
        before = sum(one == method for one in self.server.asked)
        self.server.asked.append(method)
        refusal = self.server.does.refuses(method, before)
        if refusal is not None:
            self._say(refusal[0], f"{refusal[1]}\n".encode())
        return refusal is None

    def _upload(self, encoded: str) -> Started:
        return self.server.uploads[base64.urlsafe_b64decode(encoded + "==")]

    def _state(self, method: str, upload: Started) -> None:
        state = UploadState(b"a ticket", upload.segments, upload.finished is not None)
        self._say(200, pack(self.server.does.state(method, state)))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _say(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

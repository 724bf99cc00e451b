"""A receiver of webhooks on loopback: it keeps each request, and answers as a test wants."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MOST_READ = 1 << 20


@dataclass(frozen=True)
class Delivery:
    """One request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The event."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature as a receiver does that knows only the documentation."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        mac = hmac.new(key, signed + self.body, hashlib.sha256).digest()
        return self.headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()


Answer = Callable[[BaseHTTPRequestHandler, int], object]
"""Writes the answer; it gets the number of earlier requests."""


def status(code: int, **headers: str) -> Answer:
    """Return an answer with a status."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(b"what the receiver says")

    return answer


class Receiver:
    """A running receiver."""

    def __init__(
        self, answer: Answer, port: int = 0, certificate: tuple[Path, Path] | None = None
    ) -> None:
        """Listen, on a free port unless one is given; `certificate`: its key and itself."""
        self.answer = answer
        self.got: list[Delivery] = []
        self.came = threading.Event()
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers["Content-Length"]), MOST_READ))
                headers = {key.lower(): value for key, value in self.headers.items()}
                earlier = len(receiver.got)
                receiver.got.append(Delivery(self.path, headers, body))
                receiver.came.set()
                receiver.answer(self, earlier)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate[1], certificate[0])
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook?token=abc"

    def close(self) -> None:
        """Stop listening; answers that wait for `over` end."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(
    answer: Answer, port: int = 0, certificate: tuple[Path, Path] | None = None
) -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver(answer, port, certificate)
    try:
        yield receiver
    finally:
        receiver.close()

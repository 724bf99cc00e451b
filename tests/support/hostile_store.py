"""A proxy in front of a real object store, which fails or lies as a test says."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.support.object_store import KEY

_SIGNED = re.compile("authorization|x-amz-date|x-amz-content-sha256", re.IGNORECASE)
_DROPPED = {"connection", "keep-alive", "expect", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Answer:
    """An answer of the store."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    """Bytes of the body after which the connection ends; None: all are sent."""


@dataclass(frozen=True)
class Ask:
    """A request to the store."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    forward: Callable[[Ask], Answer] = field(repr=False)

    @property
    def operation(self) -> str:
        """The name of the operation, as S3 has it."""
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        is_object = parts.path.strip("/").count("/") > 0
        if "uploads" in query:
            return "CreateMultipartUpload" if self.method == "POST" else "ListMultipartUploads"
        if "uploadId" in query:
            return {
                "PUT": "UploadPart",
                "POST": "CompleteMultipartUpload",
                "DELETE": "AbortMultipartUpload",
            }[self.method]
        if "delete" in query:
            return "DeleteObjects"
        if not is_object:
            return "Bucket"
        return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject"}[self.method]

    def passed(self) -> Answer:
        """Return the true answer."""
        return self.forward(self)

    def without(self, header: re.Pattern[str]) -> Ask:
        """Return this request without some headers, signed again."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        left = {
            name: value
            for name, value in self.headers.items()
            if not header.match(name) and not _SIGNED.match(name)
        }
        url = f"http://{self.headers['Host']}{self.path}"
        again = AWSRequest(self.method, url, left, self.body)
        S3SigV4Auth(Credentials(*KEY.values()), "s3", "us-east-1").add_auth(again)
        return replace(self, headers=dict(again.headers.items()))


Rule = Callable[[Ask], Answer | None]
"""Returns the answer; None: the connection ends without one."""


def error(code: str, status: int = 500) -> Answer:
    """Return an answer with an error of S3."""
    text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>-</Message></Error>'
    return Answer(status, {"Content-Type": "application/xml"}, text.encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: the client may have closed the connection."""


class HostileStore:
    """The proxy; it changes nothing until `rule` is set."""

    def __init__(self, endpoint: str) -> None:
        """Listen on a free port; requests go to the store at `endpoint`."""
        where = urlsplit(endpoint)
        self._store = (where.hostname or "", where.port or 0)
        self.rule: Rule = Ask.passed
        self.seen: list[str] = []
        """The operations that were requested."""
        self._http = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def endpoint(self) -> str:
        """The URL of the proxy."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def at(self, *operations: str, give: Rule, times: int = 1_000_000) -> None:
        """Answer the first requests of some operations as `give` does; all others pass."""
        left, lock = dict.fromkeys(operations, times), threading.Lock()

        def rule(ask: Ask) -> Answer | None:
            with lock:
                count = left.get(ask.operation, 0)
                left[ask.operation] = max(0, count - 1)
            return give(ask) if count else ask.passed()

        self.rule = rule

    @contextmanager
    def running(self) -> Iterator[HostileStore]:
        """Serve until the end of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    def _forward(self, ask: Ask) -> Answer:
        with closing(http.client.HTTPConnection(*self._store, timeout=60)) as line:
            line.request(ask.method, ask.path, ask.body, ask.headers)
            answer = line.getresponse()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in _DROPPED}
            if ask.method == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length", "0")
            return Answer(answer.status, headers, answer.read())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize: ClassVar[int] = -1

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                kept = {k: v for k, v in self.headers.items() if k.lower() not in _DROPPED}
                ask = Ask(self.command, self.path, kept, body, outer._forward)
                outer.seen.append(ask.operation)
                answer = outer.rule(ask)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.cut_after])
                if answer.cut_after is not None:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815

        return Handler

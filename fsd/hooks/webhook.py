"""Delivery to a webhook: one POST with time limits; no redirect is followed, no proxy is used."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from urllib.parse import SplitResult, urlsplit

from fsd.hooks.outcome import Outcome
from fsd.hooks.payload import HookMessage, headers
from fsproto import __version__

MOST_READ = 2048
"""Bytes of an answer that are read; its status decides."""
_SUCCESS, _REDIRECT = range(200, 300), range(300, 400)


def post(url: str, message: HookMessage, key: bytes, timeout_s: float) -> Outcome:
    """Send an event to a webhook, signed with a key; block at most for about `timeout_s`.

    It is delivered if the answer has a status from 200 to 299. A system that takes long to look up
    the name of the host may add to the time.
    """
    parts, body = urlsplit(url), message.body()
    sent = {
        "Content-Type": "application/json",
        "User-Agent": f"fsd/{__version__}",
        **headers(message, body, key, int(time.time())),
    }
    cut = threading.Event()
    try:
        status, reason, output = _exchange(parts, body, sent, timeout_s, cut)
    except (OSError, http.client.HTTPException) as error:
        if cut.is_set() or isinstance(error, TimeoutError):
            return Outcome(ok=False, told=f"no answer within {timeout_s:g} s")
        return Outcome(ok=False, told=_reason(error))
    told = f"status {status} {reason}".strip()
    if status in _REDIRECT:
        told += ", a redirect, which is not followed"
    return Outcome(status in _SUCCESS, told, output)


def _exchange(
    parts: SplitResult, body: bytes, sent: dict[str, str], timeout_s: float, cut: threading.Event
) -> tuple[int, str, bytes]:
    """Send a request; return status, reason and start of the answer."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    ends = time.monotonic() + timeout_s
    way = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with ExitStack() as stack:
        port = parts.port or (443 if secure else 80)
        raw = stack.enter_context(socket.create_connection((host, port), timeout_s))
        _cut_at(ends, stack, raw, cut)
        connection: http.client.HTTPConnection
        if secure:
            context = ssl.create_default_context()
            raw = stack.enter_context(context.wrap_socket(raw, server_hostname=host))
            connection = http.client.HTTPSConnection(host, parts.port, context=context)
        else:
            connection = http.client.HTTPConnection(host, parts.port)
        connection.sock = raw
        connection.request("POST", way, body, sent)
        answer = connection.getresponse()
        with suppress(OSError, http.client.HTTPException):  # the status has said everything
            return answer.status, answer.reason, answer.read(MOST_READ)
        return answer.status, answer.reason, b""


def _cut_at(ends: float, stack: ExitStack, sock: socket.socket, cut: threading.Event) -> None:
    """End a connection at a time: a peer that sends a byte now and then meets no other limit."""
    same = stack.enter_context(sock.dup())  # TLS takes the other one over

    def end() -> None:
        cut.set()
        with suppress(OSError):
            same.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, ends - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    stack.callback(timer.cancel)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be reached: {error.strerror}"
    return f"its answer is not HTTP, or broke off: {type(error).__name__}"

"""Requests of receivers, read from HTTP: which link, what of it, and what the receiver shows."""

from __future__ import annotations

import base64
import enum
import re
from ipaddress import ip_address

import h11

from fsd.services.links.receiver import Shown
from fsproto.crypto import HASH_SIZE
from fsproto.limits import MAX_PUBLIC_LINK_TICKET
from fsproto.links.url import PAGE
from fsproto.links.url_secret import ACCESS_SIZE, LINK_ID_SIZE, PROOF_SIZE
from fsproto.types import LinkId, Root
from fsproto.values import Value

API = f"{PAGE}/1/"
"""What the paths of requests about one link begin with."""
_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})?")
_SECRET = re.compile(r"FS-(Proof|Ticket) ([A-Za-z0-9_-]+)", re.IGNORECASE)


class Kind(enum.StrEnum):
    """The kinds of requests, as metrics name them."""

    PAGE = "page"
    OPTIONS = "options"
    DESCRIPTION = "description"
    START = "start"
    CONTENT = "content"
    OTHER = "other"
    """Anything else, which is answered with 404."""
    METHOD = "method"
    """A known path with another method."""


class Ask(Value, frozen=True):
    """One request of a receiver."""

    kind: Kind
    link: LinkId = LinkId(b"")
    root: Root = Root(b"")
    shown: Shown = Shown()
    part: tuple[int, int | None] | None = None
    """The first and the last requested byte; None: everything."""
    head_only: bool = False


def read_request(request: h11.Request) -> Ask:
    """Return what a request asks for."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    path, method = request.target.decode("latin-1").partition("?")[0], request.method.decode()
    get, head_only = method in ("GET", "HEAD"), method == "HEAD"
    if path in (PAGE, f"{PAGE}/"):
        return Ask(Kind.PAGE if get else Kind.METHOD, head_only=head_only)
    if not path.startswith(API):
        return Ask(Kind.OTHER, head_only=head_only)
    if method == "OPTIONS":
        return Ask(Kind.OPTIONS)
    link, _, root = path.removeprefix(API).partition("/")
    at = LinkId(_bytes(link, LINK_ID_SIZE))
    shown = _shown(headers.get("authorization", ""))
    if root:
        if not get:
            return Ask(Kind.METHOD)
        wanted = Root(_bytes(root, HASH_SIZE))
        part = _range(headers.get("range", ""))
        return Ask(Kind.CONTENT, at, wanted, shown, part, head_only)
    if method == "POST":
        return Ask(Kind.START, at, shown=shown)
    return Ask(Kind.DESCRIPTION if get else Kind.METHOD, at, shown=shown, head_only=head_only)


def client_address(peer: str, request: h11.Request, proxies: tuple[str, ...]) -> str:
    """Return the address of the receiver, which a proxy may name in a header."""
    if peer not in proxies:
        return peer
    named = [value for name, value in request.headers if name == b"x-forwarded-for"]
    last = b",".join(named).decode("latin-1").rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return peer


def _shown(header: str) -> Shown:
    match = _SECRET.fullmatch(header)
    if match is None:
        return Shown()
    if match[1].lower() == "proof":
        return Shown(proof=_bytes(match[2], ACCESS_SIZE + PROOF_SIZE))
    return Shown(ticket=_decoded(match[2])[:MAX_PUBLIC_LINK_TICKET])


def _bytes(text: str, size: int) -> bytes:
    """Return decoded bytes of that size; zero bytes, which are nothing's id, if it is wrong."""
    found = _decoded(text)
    return found if len(found) == size else bytes(size)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _range(header: str) -> tuple[int, int | None] | None:
    """Return the first and last byte of a range; other forms are ignored (RFC 9110, 14.2)."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2]) if match[2] else None
    return None if last is not None and last < first else (first, last)

"""Requests, read from HTTP: which link or request link, what of it, and what the client shows."""

from __future__ import annotations

import base64
import enum
import re
from ipaddress import ip_address

import h11

from fsd.services.links.receiver import Shown
from fsproto.crypto import HASH_SIZE
from fsproto.drop import DROP_ID_SIZE
from fsproto.limits import MAX_PUBLIC_LINK_TICKET
from fsproto.links.url import PAGE
from fsproto.links.url_secret import ACCESS_SIZE, LINK_ID_SIZE, PROOF_SIZE
from fsproto.requests.url import PAGE as TAKING_PAGE
from fsproto.types import DropId, LinkId, RequestId, Root
from fsproto.values import Value

API = f"{PAGE}/1/"
"""What the paths of requests about one link begin with."""
TAKING = f"{TAKING_PAGE}/1/"
"""The start of the paths of requests about one request link."""
_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})?")
_NUMBER = re.compile(r"[0-9]{1,10}")
_NUMBERED = 3
"""Names in a path that ends in the number of a segment."""
_SECRET = re.compile(r"FS-(Proof|Ticket) ([A-Za-z0-9_-]+)", re.IGNORECASE)


class Kind(enum.StrEnum):
    """The kinds of requests, as metrics name them."""

    PAGE = "page"
    OPTIONS = "options"
    DESCRIPTION = "description"
    START = "start"
    CONTENT = "content"
    REQUEST = "request-link"
    UPLOAD_START = "upload-start"
    UPLOAD_PART = "upload-part"
    UPLOAD_END = "upload-end"
    UPLOAD_STOP = "upload-stop"
    OTHER = "other"
    """Anything else, which is answered with 404."""
    METHOD = "method"
    """A known path with another method."""

    @property
    def is_of_request_link(self) -> bool:
        """Whether it is about a request link."""
        return self in _TAKES


_TAKES = (
    *(Kind.REQUEST, Kind.UPLOAD_START, Kind.UPLOAD_PART),
    *(Kind.UPLOAD_END, Kind.UPLOAD_STOP),
)


_METHODS = {
    ("GET", 1): Kind.REQUEST,
    ("HEAD", 1): Kind.REQUEST,
    ("POST", 1): Kind.UPLOAD_START,
    ("POST", 2): Kind.UPLOAD_END,
    ("DELETE", 2): Kind.UPLOAD_STOP,
    ("PUT", 3): Kind.UPLOAD_PART,
}
"""Kinds of requests about a request link, by method and number of names in the path."""


class Ask(Value, frozen=True):
    """One request of a receiver or an uploader."""

    kind: Kind
    link: LinkId = LinkId(b"")
    request: RequestId = RequestId(b"")
    drop: DropId = DropId(b"")
    segment: int = 0
    """The number of the first segment in the body."""
    root: Root = Root(b"")
    shown: Shown = Shown()
    part: tuple[int, int | None] | None = None
    """The first and the last requested byte; None: everything."""
    head_only: bool = False
    takes: bool = False
    """Whether the path is one of request links."""


def read_request(request: h11.Request) -> Ask:
    """Return what a request asks for."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    path, method = request.target.decode("latin-1").partition("?")[0], request.method.decode()
    get, head_only = method in ("GET", "HEAD"), method == "HEAD"
    if path in (PAGE, f"{PAGE}/", TAKING_PAGE, f"{TAKING_PAGE}/"):
        return Ask(Kind.PAGE if get else Kind.METHOD, head_only=head_only)
    if path.startswith(TAKING):
        return _of_request_link(path.removeprefix(TAKING), method, headers)
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
        return Ask(Kind.CONTENT, at, root=wanted, shown=shown, part=part, head_only=head_only)
    if method == "POST":
        return Ask(Kind.START, at, shown=shown)
    return Ask(Kind.DESCRIPTION if get else Kind.METHOD, at, shown=shown, head_only=head_only)


def _of_request_link(path: str, method: str, headers: dict[str, str]) -> Ask:
    names = path.split("/")
    if method == "OPTIONS":
        return Ask(Kind.OPTIONS, takes=True)
    kind = _METHODS.get((method, len(names)))
    if kind is None:
        known = {count for _, count in _METHODS}
        return Ask(Kind.METHOD if len(names) in known else Kind.OTHER, takes=True)
    drop = _bytes(names[1], DROP_ID_SIZE) if len(names) > 1 else b""
    number = names[2] if len(names) > _NUMBERED - 1 else "0"
    if not _NUMBER.fullmatch(number):
        return Ask(Kind.OTHER, takes=True)
    return Ask(
        kind,
        request=RequestId(_bytes(names[0], LINK_ID_SIZE)),
        drop=DropId(drop),
        segment=int(number),
        shown=_shown(headers.get("authorization", "")),
        head_only=method == "HEAD",
        takes=True,
    )


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

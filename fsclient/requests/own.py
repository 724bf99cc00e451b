"""The user's own request links: make, list and end them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fsclient.connection.parts import items_of
from fsclient.session.session import Session
from fskit.text import size_text
from fsproto.errors import (
    FsError,
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    SecurityError,
    UsageError,
)
from fsproto.limits import MAX_REQUESTS_BYTES, MAX_REQUESTS_NAMED, MAX_SHARES
from fsproto.links.url_grammar import check_base
from fsproto.links.url_secret import LINK_ID_SIZE
from fsproto.messages.base import Done
from fsproto.messages.requests import (
    GetRequests,
    MakeRequest,
    OwnRequest,
    RemoveRequests,
    RequestMade,
    Requests,
)
from fsproto.names import RemotePath
from fsproto.requests.description import RequestDescription, seal_request
from fsproto.requests.record import RequestRecord, open_record, seal_record
from fsproto.requests.secret import RequestSecret
from fsproto.requests.url import RequestUrl
from fsproto.types import RequestId
from fsproto.values import Value

_SHOWN = 8
"""Hexadecimal digits of an id that are shown; at least so many identify it in a command."""


class RequestTerms(Value, frozen=True):
    """What a request link takes, until when, and with which password."""

    folder: RemotePath
    note: str
    expires_ms: int | None
    max_files: int | None
    max_bytes: int | None
    password: str
    """Empty: none."""

    def __repr__(self) -> str:
        return f"RequestTerms(folder={self.folder})"


class KnownRequest(Value, frozen=True):
    """One of the user's request links, and the user's record of it."""

    request: OwnRequest
    record: RequestRecord | None
    """None if it does not open: see `error`."""
    is_replaced: bool
    """Whether the user's keys were replaced since, so that it takes no files."""
    error: SecurityError | None = None

    @property
    def id(self) -> str:
        """The short id."""
        return short_id(self.request.request)


def short_id(request: RequestId) -> str:
    """Return the part of an id that is shown."""
    return request.hex()[:_SHOWN]


def make_request(session: Session, terms: RequestTerms) -> RequestUrl:
    """Make a request link; return its URL. Its secret is new and seals this one description."""
    secret = RequestSecret.new(guarded=bool(terms.password), random=os.urandom)
    keys = secret.keys(terms.password)
    bundle = session.identity.bundle
    body = RequestDescription(
        1, terms.note, bundle.signed.payload, terms.expires_ms, terms.max_files, terms.max_bytes
    )
    root = session.tree.root.keyed
    record = RequestRecord(1, "/".join(terms.folder.parts), terms.note, keys.mark)
    made = session.connection.call(
        MakeRequest(
            keys.request,
            bundle.hash,
            seal_record(root, keys.request, bundle.hash, record, os.urandom),
            root.generation,
            keys.access_hash,
            keys.proof_hash,
            terms.password != "",
            terms.expires_ms,
            terms.max_files,
            terms.max_bytes,
            seal_request(keys, bundle.hash, body),
        ),
        RequestMade,
    )
    try:
        base = check_base(made.url)
    except UsageError:
        raise RemoteProtocolError("The server sent a URL that no link can begin with.") from None
    return RequestUrl(base, secret, bundle.hash)


def requests_of(session: Session) -> list[KnownRequest]:
    """Return the user's request links as the server lists them, each with its own record."""
    connection = session.connection
    found, size = list[OwnRequest](), 0
    for one in items_of(connection, GetRequests(), Requests, lambda x: x.requests, MAX_SHARES):
        size += len(one.record)
        if size > MAX_REQUESTS_BYTES:
            most = size_text(MAX_REQUESTS_BYTES)
            raise RemoteProtocolError(
                f"The server's list of your request links has more than {most}."
            )
        found.append(one)
    if len({one.request for one in found}) != len(found):
        raise RemoteProtocolError("The server lists a request link twice.")
    return [_known(session, one) for one in found]


def _known(session: Session, one: OwnRequest) -> KnownRequest:
    if len(one.request) != LINK_ID_SIZE:
        raise RemoteProtocolError("The server lists a request link with a malformed id.")
    root, replaced = session.tree.root.keyed, one.bundle != session.identity.bundle.hash
    try:
        if one.max_files is not None and one.files > one.max_files:
            raise IntegrityError("The server counts more files of a request link than it permits.")
        if one.max_bytes is not None and one.size > one.max_bytes:
            raise IntegrityError("The server counts more bytes of a request link than it permits.")
        record = open_record(root, one.generation, one.request, one.bundle, one.record)
    except SecurityError as error:
        return KnownRequest(one, None, replaced, error)
    return KnownRequest(one, record, replaced)


def chosen(known: Sequence[KnownRequest], text: str) -> KnownRequest:
    """Return the request link whose id starts with a text; `NotFoundError` if there is none."""
    wanted = text.lower()
    found = [one for one in known if one.request.request.hex().startswith(wanted)]
    if len(wanted) < _SHOWN or not found:
        raise NotFoundError(
            f"There is no request link '{text}'.",
            hint="'fsclient requests' lists yours; an id has at least 8 digits.",
        )
    if len(found) > 1:
        raise UsageError(f"Several request links start with '{text}'; give more of the id.")
    return found[0]


def end_requests(session: Session, known: Sequence[KnownRequest]) -> None:
    """End request links at once."""
    ids = [one.request.request for one in known]
    for at in range(0, len(ids), MAX_REQUESTS_NAMED):
        session.connection.call(RemoveRequests(ids[at : at + MAX_REQUESTS_NAMED]), Done)


def worst_of(known: Sequence[KnownRequest]) -> FsError | None:
    """Return the error of a request link whose record does not open, if there is one."""
    return next((one.error for one in known if one.error is not None), None)

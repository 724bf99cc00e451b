"""The user's own request links: make, list and end them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fsclient.connection.parts import items_of
from fsclient.links.own_list import checked_base, listed, short_id, with_id
from fsclient.session.session import Session
from fskit.clock import now_ms
from fsproto.errors import (
    IntegrityError,
    NotFoundError,
    SecurityError,
)
from fsproto.limits import MAX_REQUESTS_BYTES, MAX_REQUESTS_NAMED, MAX_SHARES
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
from fsproto.values import Value


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
    def full_id(self) -> bytes:
        """The id, 16 bytes."""
        return self.request.request

    @property
    def id(self) -> str:
        """The short id."""
        return short_id(self.full_id)

    @property
    def why_closed(self) -> str | None:
        """Why it takes no files, in a few words; None if it does."""
        if self.request.ended:
            return "ENDED"
        if self.request.expires_ms is not None and self.request.expires_ms <= now_ms():
            return "EXPIRED"
        if self.is_replaced:
            return "ENDED by your new keys"
        if self.request.locked:
            return "LOCKED after wrong passwords"
        return None


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
    return RequestUrl(checked_base(made.url), secret, bundle.hash)


def requests_of(session: Session) -> list[KnownRequest]:
    """Return the user's request links as the server lists them, each with its own record."""
    sent = items_of(session.connection, GetRequests(), Requests, lambda x: x.requests, MAX_SHARES)
    requests = listed(sent, lambda one: one.request, MAX_REQUESTS_BYTES, "request link")
    return [_known(session, one) for one in requests]


def _known(session: Session, one: OwnRequest) -> KnownRequest:
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
    found = with_id(known, text, "request link")
    if found is None:
        raise NotFoundError(
            f"There is no request link '{text}'.",
            hint="'fsclient requests' lists yours; an id has at least 8 digits.",
        )
    return found


def end_requests(session: Session, known: Sequence[KnownRequest]) -> None:
    """End request links at once."""
    ids = [one.request.request for one in known]
    for at in range(0, len(ids), MAX_REQUESTS_NAMED):
        session.connection.call(RemoveRequests(ids[at : at + MAX_REQUESTS_NAMED]), Done)

"""Request links, for their owners: make, list and end them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.policies import LoginPolicy, RequestPolicy
from fsd.principal import Principal
from fsd.services.links.proofs import is_locked
from fsd.services.paging import following, parts
from fsd.store.engine import Database
from fsd.store.models import Bundle
from fsd.store.repos import quotas, users
from fsd.store.repos import requests as rows
from fsd.store.request_models import RequestLink
from fskit.text import count_text
from fsproto import labels
from fsproto.crypto import HASH_SIZE
from fsproto.errors import ConflictError, NotAllowedError, QuotaError, RemoteProtocolError
from fsproto.limits import MAX_REQUEST_FILES
from fsproto.links.url_secret import LINK_ID_SIZE
from fsproto.messages.base import Done
from fsproto.messages.requests import MakeRequest, OwnRequest, RequestMade, Requests
from fsproto.signed import payload_hash
from fsproto.types import Hash, RequestId


class RequestService:
    """The request links of users; calls block, and use no sockets."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        *,
        policy: RequestPolicy,
        url: str,
        logins: LoginPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the parts; `logins` says after how many wrong passwords one is locked.

        `url` is the start of the URLs, before `/r`; empty: the server offers none.
        """
        self._database = database
        self._audit = audit
        self.policy = policy
        self.url = url
        self.logins = logins
        self._now_ms = now_ms

    def make(self, who: Principal, ask: MakeRequest) -> RequestMade:
        """Store a request link."""
        if not self.url or not self.policy.most:
            raise NotAllowedError(
                "This server offers no request links.",
                hint="Its administrator can turn them on: web.listen, web.url and requests.most.",
            )
        now = self._now_ms()
        _check(ask, now)
        with self._database.write() as db:
            quotas.hold(db, who.user_id)
            if not is_newest(db, who.user_id, ask.bundle):
                raise ConflictError("Your keys were replaced in the meantime.", hint="Try again.")
            if rows.get(db, ask.request) is not None:
                raise ConflictError("A request link with this id exists already.")
            if rows.count(db, who.user_id) >= self.policy.most:
                raise QuotaError(
                    "You have too many request links.",
                    hint="'fsclient requests' lists them, 'fsclient unrequest' ends one.",
                )
            rows.add(db, _row(who, ask, now))
            self._audit.record_own(db, AuditEvent.REQUEST_MADE, who, ask.request.hex())
        return RequestMade(self.url)

    def listing(self, who: Principal) -> Iterator[Requests]:
        """Yield the request links of the user."""
        with self._database.read() as db:
            waiting = rows.waiting(db, who.user_id)

        def page(after: RequestLink | None) -> list[RequestLink]:
            with self._database.read() as db:
                return rows.of_user(db, who.user_id, after)

        for part, more in parts(following(page), lambda one: len(one.record)):
            yield Requests([self._shown(one, waiting.get(one.id, 0)) for one in part], more)

    def end(self, who: Principal, requests: list[RequestId]) -> Done:
        """End request links of the user; a missing one is not an error."""
        with self._database.write() as db:
            ended = rows.end(db, who.user_id, requests)
            if ended:
                detail = count_text(ended, "request link", "request links")
                self._audit.record_own(db, AuditEvent.REQUESTS_ENDED, who, detail)
        return Done()

    def _shown(self, row: RequestLink, waiting: int) -> OwnRequest:
        return OwnRequest(
            RequestId(row.id),
            Hash(row.bundle_hash),
            row.record,
            row.generation,
            row.guarded,
            row.made_ms,
            row.expires_ms,
            row.max_files,
            row.max_bytes,
            row.files,
            row.size,
            waiting,
            row.used_ms,
            row.ended,
            is_locked(row, self.logins),
        )


def is_newest(db: Db, user_id: int, bundle: bytes) -> bool:
    """Return whether a hash is that of a user's newest bundle."""
    newest: Bundle | None = users.bundle(db, user_id)
    return newest is not None and payload_hash(labels.HASH_BUNDLE, newest.payload) == bundle


def _check(ask: MakeRequest, now_ms: int) -> None:
    sizes = len(ask.request), len(ask.bundle), len(ask.access_hash), len(ask.proof_hash)
    if sizes != (LINK_ID_SIZE, HASH_SIZE, HASH_SIZE, HASH_SIZE) or not ask.description:
        raise RemoteProtocolError("The message for a request link is malformed.")
    limits = ask.max_files, ask.max_bytes
    if 0 in limits or (ask.max_files or 0) > MAX_REQUEST_FILES:
        raise RemoteProtocolError("A limit of a request link is out of range.")
    if ask.expires_ms is not None and ask.expires_ms <= now_ms:
        raise NotAllowedError("The request link would have expired already.")


def _row(who: Principal, ask: MakeRequest, now_ms: int) -> RequestLink:
    return RequestLink(
        id=ask.request,
        user_id=who.user_id,
        bundle_hash=ask.bundle,
        record=ask.record,
        generation=ask.generation,
        access_hash=ask.access_hash,
        proof_hash=ask.proof_hash,
        guarded=ask.password,
        description=ask.description,
        made_ms=now_ms,
        expires_ms=ask.expires_ms,
        max_files=ask.max_files,
        max_bytes=ask.max_bytes,
        files=0,
        size=0,
        used_ms=0,
        wrong=0,
        ended=False,
    )

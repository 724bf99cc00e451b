"""Public links, for receivers, who have no account: description, download ticket, contents."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.blobs.base import BlobReader, BlobStore
from fsd.policies import LoginPolicy
from fsd.services.links.proofs import NoSuchLink, ProofCheck, UrlEvents
from fsd.services.links.tickets import UrlTickets
from fsd.store.engine import Database
from fsd.store.link_models import PublicLink
from fsd.store.repos import links as rows
from fsd.store.repos import users
from fsproto.limits import PUBLIC_LINK_TICKET_S
from fsproto.links.secret import LABELS
from fsproto.types import LinkId, Root
from fsproto.values import Value


class Shown(Value, frozen=True):
    """What a receiver shows for a link: a proof or a ticket."""

    proof: bytes = b""
    """`access` and proof (48 bytes); empty if a ticket is shown."""
    ticket: bytes = b""


class LinkReceivers:
    """What receivers may have of public links; calls block, and use no sockets."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        audit: AuditLog,
        *,
        ticket_key: bytes,
        logins: LoginPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the parts; `ticket_key` (32 bytes) authenticates tickets; `logins`: limits."""
        self._database = database
        self._blobs = blobs
        self._audit = audit
        self._tickets = UrlTickets(ticket_key, PUBLIC_LINK_TICKET_S, now_ms)
        self._now_ms = now_ms
        self.proofs = ProofCheck[PublicLink](
            database,
            audit,
            labels=LABELS,
            lane="link:",
            events=UrlEvents(AuditEvent.LINK_REFUSED, AuditEvent.LINK_LOCKED),
            hold=rows.hold,
            is_open=self._open,
            logins=logins,
            now_ms=now_ms,
        )

    def description(self, link: LinkId, shown: Shown, address: str) -> bytes:
        """Return the sealed description; `NoSuchLink`."""
        if shown.ticket:
            with self._database.read() as db:
                self._with_ticket(db, link, shown.ticket)
                return rows.description(db, link)
        return self.proofs.check(link, shown.proof, address, self._described)

    def start(self, link: LinkId, shown: Shown, address: str) -> bytes:
        """Count a download; return its ticket. `NoSuchLink`, also if all downloads were made."""
        counted = partial(self._counted, address=address)
        return self.proofs.check(link, shown.proof, address, counted)

    def content(self, link: LinkId, shown: Shown, root: Root) -> tuple[BlobReader, int]:
        """Return a reader of a content, and its size; `NoSuchLink`."""
        with self._database.read() as db:
            self._with_ticket(db, link, shown.ticket)
            blob = rows.content(db, link, root)
            if blob is None:
                raise NoSuchLink
            if blob.data is not None:
                return io.BytesIO(blob.data), blob.size
            place, size = blob.place or "", blob.size
        return self._blobs.open(place, size), size

    def still_open(self, link: LinkId) -> bool:
        """Return whether a link has neither expired nor been removed, whatever its count is."""
        with self._database.read() as db:
            return self._open(db, rows.get(db, link))

    # --- links

    def _with_ticket(self, db: Db, link: LinkId, ticket: bytes) -> None:
        """Raise `NoSuchLink` unless the ticket is one of a link that is open."""
        self._tickets.check(ticket, link)
        if not self._open(db, rows.get(db, link)):
            raise NoSuchLink

    def _open(self, db: Db, row: PublicLink | None) -> bool:
        now = self._now_ms()
        if row is None or not row.complete or users.is_expired(row.expires_ms, now):
            return False
        owner = rows.owner(db, row)
        return owner is not None and not users.is_out(owner, now)

    def _described(self, db: Db, row: PublicLink) -> bytes:
        if row.max_downloads is not None and row.downloads >= row.max_downloads:
            raise NoSuchLink
        return rows.description(db, row.id)

    def _counted(self, db: Db, row: PublicLink, *, address: str) -> bytes:
        now = self._now_ms()
        if not rows.count_download(db, row.id, now):
            raise NoSuchLink
        self.proofs.record(db, AuditEvent.LINK_DOWNLOADED, row, address, row.id.hex())
        return self._tickets.make(row.id)

"""Public links, for receivers, who have no account: description, download ticket, contents.

Every refusal is `NoSuchLink`, whatever the reason; the listener answers it at a fixed time. The
reason goes to the audit log only. Wrong proofs are throttled as logins are (`fsd.auth.throttle`),
in two lanes: that of the link and the network, and that of the network with any link.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.auth.throttle import Allowance, Lane, network_of
from fsd.blobs.base import BlobReader, BlobStore
from fsd.policies import LoginPolicy
from fsd.store.engine import Database
from fsd.store.link_models import PublicLink
from fsd.store.repos import links as rows
from fsd.store.repos import penalties, users
from fsproto import crypto
from fsproto.errors import NotFoundError
from fsproto.limits import PUBLIC_LINK_TICKET_S
from fsproto.links.secret import LABELS
from fsproto.links.url_secret import ACCESS_SIZE, PROOF_SIZE, access_hash, proof_hash
from fsproto.types import LinkId, Root
from fsproto.values import Value

_TIME = struct.Struct(">Q")
_ANY_LINK = "link:"


class NoSuchLink(NotFoundError):
    """There is no such link."""


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
        self._ticket_key = ticket_key
        self.logins = logins
        self._now_ms = now_ms

    def description(self, link: LinkId, shown: Shown, address: str) -> bytes:
        """Return the sealed description; `NoSuchLink`."""
        if shown.ticket:
            with self._database.read() as db:
                self._with_ticket(db, link, shown.ticket)
                return rows.description(db, link)
        return self._with_proof(link, shown.proof, address, self._described)

    def start(self, link: LinkId, shown: Shown, address: str) -> bytes:
        """Count a download; return its ticket. `NoSuchLink`, also if all downloads were made."""
        counted = partial(self._counted, address=address)
        return self._with_proof(link, shown.proof, address, counted)

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

    # --- tickets

    def _ticket(self, link: LinkId, at_ms: int) -> bytes:
        stated = _TIME.pack(at_ms)
        return stated + crypto.hmac_sha256(self._ticket_key, link, stated)

    def _with_ticket(self, db: Db, link: LinkId, ticket: bytes) -> None:
        """Raise `NoSuchLink` unless the ticket is one of a link that is open."""
        if len(ticket) < _TIME.size:
            raise NoSuchLink
        (at_ms,) = _TIME.unpack_from(ticket)
        if not crypto.equal(ticket, self._ticket(link, at_ms)):
            raise NoSuchLink
        if not 0 <= self._now_ms() - at_ms < PUBLIC_LINK_TICKET_S * 1000:
            raise NoSuchLink
        if not self._open(db, rows.get(db, link)):
            raise NoSuchLink

    # --- proofs

    def _with_proof(
        self, link: LinkId, proof: bytes, address: str, act: Callable[[Db, PublicLink], bytes]
    ) -> bytes:
        """Return what `act` returns, for a right proof; otherwise count the refusal, and raise."""
        now, network = self._now_ms(), network_of(address)
        lanes = sorted((Lane(f"{_ANY_LINK}{link.hex()}", network), Lane(_ANY_LINK, network)))
        with self._database.read() as db:
            self._check_throttle(db, lanes, now)  # throttled attempts never take the write lock
        with self._database.write() as db:
            penalties.hold(db, lanes)
            self._check_throttle(db, lanes, now)
            row = rows.hold(db, link)
            why = self._why_not(db, link, row, proof)
            if not why and row is not None:
                try:
                    with db.begin_nested():
                        answer = act(db, row)
                except NoSuchLink:
                    why = "used up"
                else:
                    penalties.forget(db, lanes[1])
                    return answer
            self._record(db, AuditEvent.LINK_REFUSED, row, address, f"{link.hex()}: {why}")
            for lane in lanes:
                before = penalties.of(db, lane)
                penalties.put(db, lane, before.after_refusal(self._allowance(lane), now))
        raise NoSuchLink

    def _check_throttle(self, db: Db, lanes: list[Lane], now_ms: int) -> None:
        if any(penalties.of(db, lane).holds(now_ms) for lane in lanes):
            raise NoSuchLink

    def _why_not(self, db: Db, link: LinkId, row: PublicLink | None, proof: bytes) -> str:
        """Return the reason to refuse; empty if there is none. Count wrong passwords."""
        access, rest = proof[:ACCESS_SIZE], proof[ACCESS_SIZE:]
        with_url = row is not None and crypto.equal(
            access_hash(LABELS, link, access), row.access_hash
        )
        right = row is not None and crypto.equal(proof_hash(LABELS, link, rest), row.proof_hash)
        if row is None or len(proof) != ACCESS_SIZE + PROOF_SIZE:
            return "no such link"
        if not with_url:
            return "without its URL"
        if row.guarded and row.wrong >= self.logins.most_failures:
            return "locked"
        if not right:
            row.wrong += row.guarded
            if row.wrong == self.logins.most_failures:
                told = f"{link.hex()} after {row.wrong} wrong passwords"
                self._record(db, AuditEvent.LINK_LOCKED, row, "", told)
            return "wrong password" if row.guarded else "wrong proof"
        if not self._open(db, row):
            return "ended"
        row.wrong = 0
        return ""

    def _record(
        self, db: Db, event: AuditEvent, row: PublicLink | None, address: str, detail: str
    ) -> None:
        owner = None if row is None else rows.owner(db, row)
        subject = owner.name if owner else ""
        self._audit.record(db, event, actor="", subject=subject, address=address, detail=detail)

    def _allowance(self, lane: Lane) -> Allowance:
        policy = self.logins
        free = policy.source_free_tries if lane.user == _ANY_LINK else policy.free_tries
        return Allowance(free, policy.first_wait_ms, policy.longest_wait_ms, policy.forget_ms)

    # --- links

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
        self._record(db, AuditEvent.LINK_DOWNLOADED, row, address, row.id.hex())
        return self._ticket(LinkId(row.id), now)

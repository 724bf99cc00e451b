"""Public links, for their owners: make, list and remove them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.policies import MIB, LinkPolicy, LoginPolicy
from fsd.principal import Principal
from fsd.services.links.proofs import is_locked
from fsd.services.paging import following, parts
from fsd.store.engine import Database
from fsd.store.link_models import PublicLink
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import links as rows
from fsd.store.repos import nodes, quotas
from fskit.text import count_text
from fsproto.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    QuotaError,
    RemoteProtocolError,
)
from fsproto.limits import (
    MAX_PUBLIC_LINK_DESCRIPTION,
    MAX_PUBLIC_LINK_DOWNLOADS,
    MAX_PUBLIC_LINK_FILES,
)
from fsproto.links.url_secret import LINK_ID_SIZE
from fsproto.messages.base import Done
from fsproto.messages.links import AddToLink, LinkMade, LinkPart, Links, MakeLink, OwnLink
from fsproto.sealed.manifest import NodeKind
from fsproto.types import LinkId, NodeId

_HASH_SIZE = 32


class LinkService:
    """The public links of users; calls block, and use no sockets."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        *,
        policy: LinkPolicy,
        logins: LoginPolicy,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the parts; `logins` says after how many wrong passwords a link is locked."""
        self._database = database
        self._audit = audit
        self.policy = policy
        self.logins = logins
        self._now_ms = now_ms

    def make(self, who: Principal, ask: MakeLink) -> LinkMade:
        """Store a link with the first part of its description."""
        if not self.policy.url:
            raise NotAllowedError(
                "This server offers no links.",
                hint="Its administrator can turn them on: web.listen and web.url.",
            )
        if (len(ask.link), len(ask.access_hash), len(ask.proof_hash)) != (
            *(LINK_ID_SIZE, _HASH_SIZE, _HASH_SIZE),
        ):
            raise RemoteProtocolError("The request for a link is malformed.")
        if ask.max_downloads is not None and not 0 < ask.max_downloads <= MAX_PUBLIC_LINK_DOWNLOADS:
            raise RemoteProtocolError("The number of downloads of a link is out of range.")
        now = self._now_ms()
        if ask.expires_ms is not None and ask.expires_ms <= now:
            raise NotAllowedError("The link would have expired already.")
        with self._database.write() as db:
            quotas.hold(db, who.user_id)
            self._check_node(db, who, ask.node)
            if rows.get(db, ask.link) is not None:
                raise ConflictError("A link with this id exists already.")
            link = _row(who, ask, now)
            rows.add(db, link)
            self._add(db, who, link, ask.part)
            detail = f"{ask.link.hex()} to {ask.node.hex()}"
            self._audit.record_own(db, AuditEvent.LINK_MADE, who, detail)
        return LinkMade(self.policy.url)

    def add(self, who: Principal, ask: AddToLink) -> Done:
        """Add the next part to a link that is not complete."""
        with self._database.write() as db:
            quotas.hold(db, who.user_id)
            link = rows.hold(db, ask.link)
            if link is None or link.user_id != who.user_id or link.complete:
                raise NotFoundError("There is no such link to add to.")
            if ask.number != link.parts:
                raise RemoteProtocolError("The parts of a link are out of order.")
            self._add(db, who, link, ask.part)
        return Done()

    def listing(self, who: Principal) -> Iterator[Links]:
        """Yield the links of the user."""

        def page(after: PublicLink | None) -> list[PublicLink]:
            with self._database.read() as db:
                return rows.of_user(db, who.user_id, after)

        for part, more in parts(following(page), lambda one: len(one.record)):
            yield Links([self._shown(one) for one in part], more)

    def _shown(self, row: PublicLink) -> OwnLink:
        return OwnLink(
            LinkId(row.id),
            NodeId(row.node_id),
            row.record,
            row.generation,
            row.guarded,
            row.made_ms,
            row.expires_ms,
            row.max_downloads,
            row.downloads,
            row.used_ms,
            row.files,
            is_locked(row, self.logins),
        )

    def remove(self, who: Principal, links: list[LinkId]) -> Done:
        """End links of the user; a missing link is not an error."""
        with self._database.write() as db:
            gone = rows.remove(db, who.user_id, links)
            if gone:
                detail = count_text(gone, "link", "links")
                self._audit.record_own(db, AuditEvent.LINKS_REMOVED, who, detail)
        return Done()

    def _check_node(self, db: Db, who: Principal, node: NodeId) -> None:
        found = nodes.get(db, node)
        if found is None or found.owner_id != who.user_id:
            raise NotAllowedError(
                "Only the owner can make a link to it.",
                hint="Copy it into your own tree with 'fsclient cp', and link the copy.",
            )
        if found.removed_ms is not None:
            raise ConflictError("It was removed in the meantime.")

    def _add(self, db: Db, who: Principal, link: PublicLink, part: LinkPart) -> None:
        """Store a part of a link whose row is locked."""
        wanted = [(bytes(one.node), bytes(one.root)) for one in part.contents]
        roots = {root for _, root in wanted}
        if len(roots) != len(wanted) or rows.opened_already(db, link.id, roots):
            raise RemoteProtocolError("A link names a content twice.")
        self._check_contents(db, who, wanted)
        count, size = rows.load(db, who.user_id)
        if count > self.policy.most or size + len(part.data) > self.policy.descriptions_mib * MIB:
            raise QuotaError(
                "You have too many links, or too large ones.",
                hint="'fsclient links' lists them, 'fsclient unlink' ends one.",
            )
        rows.add_part(db, link, part.data, wanted)
        if link.files > MAX_PUBLIC_LINK_FILES or link.size > MAX_PUBLIC_LINK_DESCRIPTION:
            raise OutOfSpaceError("One link cannot open so many files.")
        link.complete = not part.more

    def _check_contents(self, db: Db, who: Principal, wanted: list[tuple[bytes, bytes]]) -> None:
        """Raise `ConflictError` unless all are kept contents of existing files of the user."""
        there = nodes.get_all(db, {node for node, _ in wanted})
        held = blob_rows.held(db, [root for _, root in wanted])
        for node, root in wanted:
            file, blob = there.get(node), held.get(root)
            if file is None or file.owner_id != who.user_id or file.kind != NodeKind.FILE:
                raise NotAllowedError("A link can open only files of your own tree.")
            if file.removed_ms is not None or blob is None or blob.node_id != node:
                raise ConflictError(
                    "A file was replaced or removed while the link was made.", hint="Try again."
                )


def _row(who: Principal, ask: MakeLink, now_ms: int) -> PublicLink:
    return PublicLink(
        id=ask.link,
        user_id=who.user_id,
        node_id=ask.node,
        record=ask.record,
        generation=ask.generation,
        access_hash=ask.access_hash,
        proof_hash=ask.proof_hash,
        guarded=ask.password,
        made_ms=now_ms,
        expires_ms=ask.expires_ms,
        max_downloads=ask.max_downloads,
        downloads=0,
        used_ms=0,
        wrong=0,
        files=0,
        size=len(ask.record),
        parts=0,
        complete=False,
    )

"""Sharing: the access of members to nodes, and the answers about shares.

The server enforces the member lists at once, but the clients do not rely on that: new keys lock out
a removed member even if the server helps that member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.principal import Principal
from fsd.services.paging import following, parts
from fsd.store import models
from fsd.store.engine import Database
from fsd.store.repos import groups, nodes, shares, users
from fsd.store.repos.nodes import StoredNode
from fsproto.errors import NotAllowedError, NotFoundError, OutOfSpaceError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.keys.member_list import stated_members
from fsproto.limits import MAX_BLOCKED, MAX_CONTROL, MAX_LISTS, MAX_PATH_PARTS
from fsproto.messages.base import Done
from fsproto.messages.shares import Blocked, GetShares, Group, Members, Own, Share, Shared, Shares
from fsproto.names import is_user
from fsproto.sealed.manifest import NodeKind
from fsproto.signed import Signed
from fsproto.types import NodeId, Token

_OwnShare = tuple[bytes, Own]
"""The id of a shared node, and the answer about it."""


def folder_for(db: Db, node: StoredNode | None, who: Principal, role: Role) -> StoredNode:
    """Return a folder that the user may read, or write to; raise otherwise."""
    if node is None:
        raise NotFoundError("There is no such folder.")
    if node.owner_id != who.user_id:
        have = shares.role(db, who.user_id, node.id)
        if have is None:
            raise NotFoundError("There is no such folder.")
        if have < role:
            raise NotAllowedError("You may look at that folder, but not change it.")
    if node.kind != NodeKind.FOLDER:
        raise RemoteProtocolError("That is a file, not a folder.")
    return node


class ShareService:
    """Use cases of shares; all calls block."""

    def __init__(
        self, database: Database, audit: AuditLog | None = None, *, now_ms: Callable[[], int]
    ) -> None:
        """Take the database, and the audit log (if any) that records when a member leaves."""
        self._database = database
        self._audit = audit
        self._now_ms = now_ms

    def members(self, who: Principal, asked: Sequence[NodeId]) -> Members:
        """Return the member lists of nodes, as far as they have one.

        `NotFoundError` if the user may not read one of them: that is no node without a list.
        """
        if len(asked) > MAX_LISTS:
            raise RemoteProtocolError("Too many member lists were asked for at once.")
        with self._database.read() as db:
            found = nodes.get_all(db, asked)
            if shares.readable(db, who.user_id, list(found.values())) != set(asked):
                raise NotFoundError("There is no such file or folder.")
            lists = shares.lists(db, set(asked), MAX_CONTROL)
            return Members([_signed(lists[node]) for node in asked if node in lists])

    def with_me(self, who: Principal, ask: GetShares) -> Iterator[Shares]:
        """Yield the nodes shared with a user, in one or more answers."""
        owner = ask.owner.replace("\0", "?")
        if not 0 <= ask.most < 1 << 31:
            raise RemoteProtocolError("The number of shares to show is out of range.")

        def page(after: shares.Given | None) -> list[shares.Given]:
            with self._database.read() as db:
                return shares.given_to(db, who.user_id, owner, after, ask.most)

        for part, more in parts(following(page), lambda one: len(one.members.payload)):
            yield Shares([Share(*one[1:]) for one in part], more)

    def mine(self, who: Principal) -> Iterator[Shared]:
        """Yield the nodes that a user shares with others, in one or more answers."""

        def page(after: _OwnShare | None) -> list[_OwnShare]:
            with self._database.read() as db:
                rows = shares.owned_by(db, who.user_id, after[0] if after else b"")
                return [(row.node_id, self._own(db, row)) for row in rows]

        for part, more in parts(following(page), lambda one: len(one[1].members.payload)):
            yield Shared([own for _, own in part], more)

    def group(self, name: str) -> Group:
        """Return a group's users that can log in; `NotFoundError` if there is no such group.

        Every logged-in user may ask, by the name of the group.
        """
        with self._database.read() as db:
            found = groups.by_name(db, name) if is_user(name) else None
            if found is None:
                raise NotFoundError("There is no such group.")
            members = groups.members(db, found.id, self._now_ms())
            return Group([one.user for one in members if not one.is_out])

    def leave(self, who: Principal, node: NodeId) -> Done:
        """Remove a grant at the request of its member."""
        with self._database.write() as db:
            shares.lists_for_update(db, [node])  # each new list comes before this or after it
            if who.user_id not in shares.grants(db, node):
                raise NotFoundError("It is not shared with you.")
            shares.drop_grants(db, node, [who.user_id])
            if self._audit is not None:
                self._audit.record_own(db, AuditEvent.SHARE_LEFT, who, node.hex())
        return Done()

    def block(self, who: Principal, owner: str, *, blocked: bool) -> Done:
        """Refuse all shares of an owner from now on, and leave the present ones; or accept again.

        `NotFoundError` if there is no such user, `OutOfSpaceError` if too many are blocked.
        """
        with self._database.write() as db:
            other = users.by_name(db, owner) if is_user(owner) else None
            if other is not None and blocked:  # as in `leave`; before the user, as a commit does it
                shares.lists_for_update(db, shares.given_by(db, who.user_id, other.id))
            users.hold(db, who.user_id)
            if other is None or other.id == who.user_id:
                raise NotFoundError("There is no such other user.")
            if not blocked:
                shares.unblock(db, who.user_id, other.id)
            elif len(shares.blocked(db, who.user_id)) >= MAX_BLOCKED:
                raise OutOfSpaceError(f"You block {MAX_BLOCKED} people; that is the limit.")
            else:
                shares.block(db, who.user_id, other.id, self._now_ms())
                left = shares.drop_grants_of(db, who.user_id, other.id)
                if self._audit is not None:
                    detail = f"all {left} of {other.name}, by blocking"
                    self._audit.record_own(db, AuditEvent.SHARE_LEFT, who, detail)
        return Done()

    def blocked(self, who: Principal) -> Blocked:
        """Return the users whose shares a user refuses."""
        with self._database.read() as db:
            return Blocked(shares.blocked(db, who.user_id))

    def _own(self, db: Db, row: models.MemberList) -> Own:
        way = [row.node_id, *nodes.ancestors(db, row.node_id, MAX_PATH_PARTS + 1)]
        on_it = nodes.get_all(db, way)
        tokens = [on_it[node].token for node in reversed(way)]
        body = stated_members(_signed(row))
        there = shares.holders_of(db, row.node_id)
        left = [one.user for one in body.members if one.user not in there]
        return Own(_signed(row), [Token(t) for t in tokens if t is not None], left)


def _signed(row: models.MemberList) -> Signed:
    return Signed(row.payload, row.signature)

"""The next member lists of nodes: the named people, the keys sealed to them, the signature."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from msgspec.structs import asdict, replace

from fsclient.session.session import Session
from fsclient.sharing.member_lists import (
    ListRevision,
    former_writers,
    inherited_writers,
    ways_by_groups,
)
from fsclient.sharing.own_shares import OwnShare, OwnShares, folders_above, is_below
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.trust.sightings import Sighting, seen_list
from fskit.clock import now_ms
from fsproto.errors import FsError, KeyChangedError, NotFoundError
from fsproto.keys.grants import Role, wrap
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.member_list import (
    FORMAT,
    FORMAT_WITH_GROUPS,
    GroupedList,
    InheritedWriter,
    Member,
    MemberList,
    sealed_hash,
    sign_members,
)
from fsproto.messages.shares import NewMembers, SealedKey
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.types import NodeId


class ListSigner:
    """Makes and signs the next lists of the user's own nodes."""

    def __init__(self, session: Session, warn: Callable[[str], None]) -> None:
        """`warn` is called with a sentence about members whose keys are unusable."""
        self._session = session
        self._people = session.people
        self._warn = warn

    def revision_of(self, share: OwnShare, own: OwnShares) -> ListRevision:
        """Return the next list of a share, with the same members and the writers above it now."""
        revision = ListRevision(share.found, share.members, share.ways)
        revision.above = self.writers_above(share.found, own, {})
        return revision

    def moved(self, top: TreeNode, there: TreeNode, own: OwnShares) -> list[ListRevision]:
        """Return the next lists of a node that is moved, and of the shares below it."""
        found = []
        mine, heirs = own.of(top), inherited_writers(top, own)
        if mine is not None or heirs:
            before = mine.members if mine else None
            found.append(ListRevision(top, before, mine.ways if mine else {}))
            found[0].heirs = heirs
        found += [
            ListRevision(share.found, share.members, share.ways)
            for share in own.shares
            if is_below(share.found, top)
        ]
        for one in found:
            one.found = _relocated(one.found, there)
        new = {one.node: one.roles for one in found}
        for one in found:
            one.above = self.writers_above(one.found, own, new)
            one.bundles = self.usable(one, {})
        return found

    def writers_above(
        self, found: TreeNode, own: OwnShares, new: Mapping[NodeId, dict[str, Role]]
    ) -> dict[str, bytes]:
        """Return the users who are writers of a folder above a node, with their identity keys.

        `new` replaces the lists of some nodes.
        """
        writers: dict[str, bytes] = {}
        for above in folders_above(found):
            share, roles = own.of(above), new.get(above.keyed.node)
            if roles is None:
                roles = share.roles if share is not None else {}
            for user, role in roles.items():
                if role is Role.WRITER:
                    with suppress(
                        KeyChangedError, NotFoundError
                    ):  # without valid keys they cannot write
                        writers[user] = self._people.pinned(user).ed25519
        return writers

    def usable(
        self, revision: ListRevision, known: Mapping[str, VerifiedBundle]
    ) -> dict[str, VerifiedBundle]:
        """Return the members' keys; remove members without valid keys from the revision."""

        def refused(user: str, error: FsError) -> None:
            path = revision.found.path
            self._warn(f"{error.sentence} '{path}' is no longer shared with them.")
            del revision.ways[user]

        wanted = [user for user in revision.ways if user not in known]
        found = self._people.bundles(self._session.context.questions, wanted, refused)
        return {user: known.get(user) or found[user] for user in revision.ways}

    def sign_all(self, changes: Committer, revisions: list[ListRevision]) -> None:
        """Have a commit sign these lists, again for each attempt."""
        for revision in revisions:
            changes.set_members(partial(self._sign, revision))

    def _sign(self, revision: ListRevision) -> NewMembers:
        """Sign the next list of a node, for its present or its next key."""
        before, identity = revision.before, self._session.identity
        keyed = self._session.context.pending_keys.current(revision.found.keyed)
        members, sealed = [], []
        for user, role in revision.roles.items():
            bundle = revision.bundles[user]
            had = before.member(user) if before else None
            kept = before is not None and before.body.generation == keyed.generation
            if kept and had is not None and had.role == role and user not in revision.left:
                members.append(had)  # also under former keys: only a new key is worth a new seal
                continue
            box = wrap(keyed, bundle, role, os.urandom)
            sealed.append(SealedKey(user, box))
            ed25519 = bundle.body.ed25519
            members.append(Member(user, role, ed25519, bundle.hash, sealed_hash(box)))
        came = ways_by_groups(revision)
        same_key = before is not None and before.body.generation == keyed.generation
        named = {one.user: one.ed25519 for one in before.body.above} if before and same_key else {}
        above = {user: named.get(user, key) for user, key in sorted(revision.above.items())}
        now, keys = identity.signing.public, self._people.identity_keys(identity.user)
        ended = [(identity.user, key) for key in keys if key != now]
        body = MemberList(
            format=FORMAT,
            node=keyed.node,
            version=before.body.version + 1 if before else 1,
            lineage=before.point.next_lineage if before else NO_LINEAGE,
            generation=keyed.generation,
            owner=identity.user,
            owner_key=now,
            members=members,
            above=[InheritedWriter(user, key) for user, key in above.items()],
            former=former_writers(revision, keyed.generation, ended),
            time_ms=now_ms(),
            log_head=self._people.log_head,
        )
        if came:
            fields = asdict(body) | {"format": FORMAT_WITH_GROUPS}
            body = GroupedList(**fields, came=came)
        revision.signed = sign_members(identity.signing, body)
        again = sorted(revision.left & revision.ways.keys())
        return NewMembers(revision.signed.signed, sealed, again)

    def remember(self, revisions: list[ListRevision], mark: int) -> None:
        """Remember the committed lists as seen; `mark` is from before they were signed."""
        seen = list[Sighting]()
        for one in (revision.signed for revision in revisions):
            if one is not None:
                seen += seen_list(one)
        self._session.context.check_seen(seen, mark)
        places = {one.node: one.found.path.parts for one in revisions if one.signed is not None}
        self._session.context.memory.note_shared(places)
        self._session.context.authors.forget_lists()


def _relocated(found: TreeNode, moved: TreeNode) -> TreeNode:
    """Return a node at its new place: the moved node itself, or a node below it."""
    if found.keyed.node == moved.keyed.node or found.above is None:
        return moved
    above = _relocated(found.above, moved)
    return replace(found, above=above, path=above.path.child(found.metadata.name))

"""Sharing the user's own nodes: sign member lists, and draw new keys when members lose access.

A list is signed as a whole, so every change makes a new version. When a member loses access, the
node gets a new key generation. So does each node below that has a member list, because its members
may be different people who keep access, and each folder on the path to it. All other nodes below
are due for a new key with their next change. A list also names the writers by the lists above, so
a change of a list changes the lists below it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial

from msgspec.structs import asdict, replace

from fsclient.session.login import Session
from fsclient.sharing.member_lists import (
    ListRevision,
    Ways,
    check_room,
    former_writers,
    heirs_of,
    not_given,
    ways_by_groups,
)
from fsclient.sharing.own_shares import OwnShare, folders_above, is_below, of_node, own_shares
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.trust.authorship import seen_list
from fsclient.trust.seen import Sighting
from fsclient.ui import Ui
from fskit.clock import now_ms
from fsproto.errors import (
    ConflictError,
    FsError,
    KeyChangedError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from fsproto.keys.grants import Role, wrap
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.member_list import (
    ALONE,
    FORMAT,
    FORMAT_WITH_GROUPS,
    GroupedList,
    InheritedWriter,
    Member,
    MemberList,
    VerifiedMembers,
    sealed_hash,
    sign_members,
)
from fsproto.messages.shares import NewMembers, SealedKey
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.types import NodeId


class Sharing:
    """The operations of an owner on the shares in the owner's tree."""

    def __init__(self, session: Session, ui: Ui) -> None:
        """Use a session of the owner; `ui` shows warnings."""
        self._session = session
        self._tree = session.tree
        self._people = session.people
        self._ui = ui

    # --- looking

    def own(self) -> list[OwnShare]:
        """Return the user's own shares, sorted by path."""
        return own_shares(self._tree)

    # --- changing

    def refresh(self) -> None:
        """Renew shares after a rotation by a member or the owner; remove members who left.

        A share that cannot be renewed now does not stop the others; its error (`ConflictError` or
        `NotAllowedError`) is raised at the end.
        """
        failed: FsError | None = None
        done = set[NodeId]()
        while stale := [one for one in self.own() if one.found.keyed.node not in done
                        and self._is_stale(one)]:  # fmt: skip
            share = stale[0]
            done.add(share.found.keyed.node)
            try:
                self._revise(share.found, self.own(), share.ways)
            except (ConflictError, NotAllowedError) as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _is_stale(self, share: OwnShare) -> bool:
        """Return whether a share has members who left, or keys that have ended."""
        return bool(share.left) or self._has_ended_keys(share.members)

    def _has_ended_keys(self, members: VerifiedMembers) -> bool:
        """Return whether a list was signed by, or a node's key sealed to, keys that have ended."""
        body = members.body
        by_old_key = body.owner_key != self._session.identity.signing.public
        return by_old_key or any(self._is_behind(one) for one in body.members)

    def _is_behind(self, member: Member) -> bool:
        """Return whether a member has rotated the keys that a node's key was sealed to."""
        now = self._people.log.now(member.user)
        return (
            now is not None
            and now.bundle != member.bundle
            and self._people.is_current(member.user, member.ed25519)
        )

    def give(self, found: TreeNode, user: str, role: Role) -> tuple[bool, Role, Role | None]:
        """Share a node with a user.

        Return whether anything changed, the user's role now, and the role before (None for a user
        who was not a member). The role now is higher than `role` where a group gives a higher one.
        """
        self._check(found, user)
        self.check_role(found, role)
        bundle = self._people.bundle(self._session.connection, user)
        shares = self.own()
        share = of_node(found, shares)
        ways = (share.ways.get(user, {}) if share else {}) | {ALONE: role}
        before = share.roles.get(user) if share else None
        return self._give(found, shares, {user: bundle}, ALONE, role), max(ways.values()), before

    def give_group(
        self, found: TreeNode, group: str, bundles: Mapping[str, VerifiedBundle], role: Role
    ) -> bool:
        """Share a node with members of a group in one change; False if nothing changes.

        The key is sealed to these bundles, which the caller has looked up, and to no other member
        of the group. Raises what `KeyDirectory.use` does if a bundle is out of date.
        """
        shares = self.own()
        self._people.use(bundles.values())
        return self._give(found, shares, bundles, group, role)

    def _give(
        self,
        found: TreeNode,
        shares: list[OwnShare],
        bundles: Mapping[str, VerifiedBundle],
        way: str,
        role: Role,
    ) -> bool:
        share = of_node(found, shares)
        if not not_given(share, bundles, way, role):
            return False
        check_room(found, share, bundles)
        ways = share.ways if share else {}
        ways |= {user: ways.get(user, {}) | {way: role} for user in bundles}
        self._revise(found, shares, ways, bundles)
        return True

    def take(self, found: TreeNode, user: str) -> bool:
        """Remove a user from a share; False if the user was not a member."""
        self._check(found, user)
        shares = self.own()
        share = of_node(found, shares)
        if share is None or share.members.member(user) is None:
            return False
        ways = {name: ways for name, ways in share.ways.items() if name != user}
        self._revise(found, shares, ways)
        return True

    def take_group(self, found: TreeNode, group: str, users: Collection[str]) -> None:
        """Remove the access that some users have through a group; other ways remain."""
        shares = self.own()
        share = of_node(found, shares)
        if share is None:
            return
        ways = dict(share.ways)
        for user in users & ways.keys():
            ways[user] = {way: role for way, role in ways[user].items() if way != group}
        self._revise(found, shares, {user: left for user, left in ways.items() if left})

    def follow(
        self, found: TreeNode, to: TreeNode, name: str, changes: Committer, *, renew: bool
    ) -> None:
        """Update the member lists for a move, because the lists above name other writers there.

        With `renew`, shares below the moved node get new keys, and so do the folders on the path.
        """
        shares = self.own()
        moved = replace(found, above=to, path=to.path.child(name))
        revisions = self._revisions(found, shares, None, moved)
        if renew:
            self._renew_below(changes, found, revisions)
        else:
            revisions = [one for one in revisions if one.has_others_above]
        self._sign_all(changes, revisions)

    def end_all(self, found: TreeNode, changes: Committer) -> bool:
        """Remove all members from the list of a restored node; False if it had no list.

        The same changes must give the node a new key.
        """
        members = self._tree.authors.list_of(found.keyed.node)
        if members is None:
            return False
        revision = ListRevision(found, members, {})
        revision.above = self._writers_above(found, self.own(), {})
        self._sign_all(changes, [revision])
        return True

    def check_role(self, found: TreeNode, role: Role) -> None:
        """Raise `NotAllowedError` for the writer role on a single file."""
        if role is Role.WRITER and not found.is_folder:
            raise NotAllowedError(
                f"'{found.path}' is a file, and files alone can only be read by others.",
                hint="Share the folder it lies in with --write.",
            )

    def check_place(self, found: TreeNode) -> None:
        """Raise `NotAllowedError` for a node of another owner, and for the top of the tree."""
        if found.path.owner is not None:
            raise NotAllowedError(
                f"'{found.path}' is {found.path.owner}'s; only its owner can share it."
            )
        if not found.path.parts:
            raise NotAllowedError(
                "The top of your tree cannot be shared.", hint="Share a folder in it."
            )

    def _check(self, found: TreeNode, user: str) -> None:
        self.check_place(found)
        if user == self._session.identity.user:
            raise UsageError("It is yours already: there is no need to share it with yourself.")

    def _revise(
        self,
        found: TreeNode,
        shares: list[OwnShare],
        ways: Ways,
        known: Mapping[str, VerifiedBundle] | None = None,
    ) -> None:
        revisions = self._revisions(found, shares, ways, known=known or {})
        changes = Committer(self._tree)
        # Whoever has the old keys of a member or the owner has this node's key, too.
        ended = any(one.before is not None and self._has_ended_keys(one.before)
                    for one in revisions)  # fmt: skip
        if ended or found.hangs_back or any(one.loses for one in revisions):
            changes.renew(found)
            self._renew_below(changes, found, revisions)
        mark = self._tree.memory.mark()
        self._sign_all(changes, revisions)
        changes.commit()
        self._remember(revisions, mark)

    def _revisions(
        self,
        top: TreeNode,
        shares: list[OwnShare],
        ways: Ways | None,
        moved: TreeNode | None = None,
        *,
        known: Mapping[str, VerifiedBundle] | None = None,
    ) -> list[ListRevision]:
        """Return the revisions of the list of `top`, with `ways` if given, and of the lists below.

        `moved` is `top` at its new place, for a move. `known` are bundles of members that the
        caller has just verified and pinned.
        """
        found = []
        mine, heirs = of_node(top, shares), heirs_of(top, shares)
        before = mine.members if mine else None
        if ways is not None or mine is not None or (moved is not None and heirs):
            kept = mine.ways if mine else {}
            found.append(ListRevision(top, before, kept if ways is None else ways))
            found[0].heirs = heirs
        found += [
            ListRevision(share.found, share.members, share.ways)
            for share in shares
            if is_below(share.found, top)
        ]
        for one in found if moved is not None else ():
            one.found = _relocated(one.found, moved or top)
        new = {one.node: one.roles for one in found}
        for one in found:
            one.above = self._writers_above(one.found, shares, new)
            one.bundles = self._usable(one, known or {})
        return found

    def _writers_above(
        self, found: TreeNode, shares: list[OwnShare], new: Mapping[NodeId, dict[str, Role]]
    ) -> dict[str, bytes]:
        lists = {share.found.keyed.node: share.roles for share in shares} | dict(new)
        writers: dict[str, bytes] = {}
        for above in folders_above(found):
            for user, role in lists.get(above.keyed.node, {}).items():
                if role is Role.WRITER:
                    with suppress(
                        KeyChangedError, NotFoundError
                    ):  # without valid keys they cannot write
                        writers[user] = self._people.pinned(user).ed25519
        return writers

    def _usable(
        self, revision: ListRevision, known: Mapping[str, VerifiedBundle]
    ) -> dict[str, VerifiedBundle]:
        """Return the members' keys; remove members without valid keys from the revision."""

        def refused(user: str, error: FsError) -> None:
            path = revision.found.path
            self._ui.warn(f"{error.sentence} '{path}' is shared with them no more.")
            del revision.ways[user]

        wanted = [user for user in revision.ways if user not in known]
        found = self._people.bundles(self._session.connection, wanted, refused)
        return {user: known.get(user) or found[user] for user in revision.ways}

    def _renew_below(
        self, changes: Committer, top: TreeNode, revisions: list[ListRevision]
    ) -> None:
        """Give new keys to the shares below `top`, and to all folders on the path to them."""
        renewed = {top.keyed.node}
        for revision in revisions:
            way = [one for one in (*reversed(list(folders_above(revision.found))), revision.found)
                   if is_below(one, top)]  # fmt: skip
            for one in way:
                if one.keyed.node not in renewed:
                    renewed.add(one.keyed.node)
                    changes.renew(one)

    def _sign_all(self, changes: Committer, revisions: list[ListRevision]) -> None:
        for revision in revisions:
            changes.set_members(partial(self._sign, revision))

    def _sign(self, revision: ListRevision) -> NewMembers:
        """Sign the next list of a node, for its present key or the key that it is about to get."""
        before, identity = revision.before, self._session.identity
        keyed = self._tree.renewals.now(revision.found.keyed)
        members, sealed = [], []
        for user, role in revision.roles.items():
            bundle = revision.bundles[user]
            had = before.member(user) if before else None
            kept = before is not None and before.body.generation == keyed.generation
            if kept and had is not None and had.role == role:
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
        ended = [(identity.user, key) for key in self._people.identity_keys(identity.user)[:-1]]
        body = MemberList(
            format=FORMAT,
            node=keyed.node,
            version=before.body.version + 1 if before else 1,
            lineage=before.point.next_lineage if before else NO_LINEAGE,
            generation=keyed.generation,
            owner=identity.user,
            owner_key=identity.signing.public,
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
        return NewMembers(revision.signed.signed, sealed)

    def _remember(self, revisions: list[ListRevision], mark: int) -> None:
        seen = list[Sighting]()
        for one in (revision.signed for revision in revisions):
            if one is not None:
                seen += seen_list(one)
        self._tree.memory.check(seen, mark, self._tree.authors.prove)
        places = {one.node: one.found.path.parts for one in revisions if one.signed is not None}
        self._tree.memory.note_shared(places)
        self._tree.authors.forget_lists()


def _relocated(found: TreeNode, moved: TreeNode) -> TreeNode:
    """Return a node at its new place: the moved node itself, or a node below it."""
    if found.keyed.node == moved.keyed.node or found.above is None:
        return moved
    above = _relocated(found.above, moved)
    return replace(found, above=above, path=above.path.child(found.metadata.name))

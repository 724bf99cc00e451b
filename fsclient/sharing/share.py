"""Sharing the user's own nodes: sign member lists, and draw new keys when members lose access.

A list is signed as a whole, so every change makes a new version. When a member loses access, the
node gets a new key generation. So does each node below that has a member list, because its members
may be different people who keep access, and each folder on the path to it. All other nodes below
are due for a new key with their next change. A list also names the writers by the lists above, so
a change of a list changes the lists below it.

The list of the node itself changes in a commit of its own. Nothing that a writer has made below the
node can prevent this commit. Each list below follows in a commit of its own, and what fails there
is left, with its path and the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from fsclient.session.session import Session
from fsclient.sharing.left_behind import LeftBehind
from fsclient.sharing.list_signer import ListSigner
from fsclient.sharing.member_lists import (
    ListRevision,
    Ways,
    check_room,
    inherited_writers,
    missing_grants,
)
from fsclient.sharing.own_shares import (
    OwnShare,
    OwnShares,
    are_as_before,
    folders_above,
    is_below,
    own_shares,
)
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.ui import Ui
from fsproto.errors import (
    ConflictError,
    FsError,
    NotAllowedError,
    RollbackError,
    Unreachable,
    UsageError,
)
from fsproto.keys.grants import Role
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.member_list import (
    ALONE,
    Member,
    VerifiedMembers,
)


class Sharing:
    """The operations of an owner on the shares in the owner's tree."""

    def __init__(self, session: Session, ui: Ui) -> None:
        """Use a session of the owner; `ui` shows warnings."""
        self._session = session
        self._tree = session.tree
        self._people = session.people
        self._signer = ListSigner(session, ui.warn)
        self._ui = ui
        self._own: OwnShares | None = None
        self._followed: list[ListRevision] = []
        """The next lists of what is moved."""

    # --- looking

    def own(self) -> OwnShares:
        """Return the user's own shares; the server is asked once."""
        if self._own is None:
            self._own = own_shares(self._tree)
        return self._own

    def of(self, found: TreeNode) -> OwnShare | None:
        """Return the share of a node, if it has one.

        Raises the error of a lost share of the node, or of a folder above it, and `ConflictError`
        if the node has taken a new key since it was found.
        """
        own = self.own()
        own.check(found)
        share = own.of(found)
        if share is not None and share.found.keyed.generation != found.keyed.generation:
            raise ConflictError(
                f"'{found.path}' has just taken a new key.", hint="Give the same command again."
            )
        return share

    # --- changing

    def refresh(self) -> list[LeftBehind]:
        """Renew shares after a rotation by a member or the owner; remove former members.

        Also complete the renewals below a changed list that are missing. Return the nodes that
        could not be renewed. Note in the profile that this was done, unless a concurrent change
        is the reason that something is left: then the next command does it again.
        """
        left, entries = [], len(self._people.log)
        for share in self.own().shares:
            # An entry on the way that is due would prevent the next change in the share.
            is_due = share.found.is_due_on_path
            stale = bool(share.left) or self._has_ended_keys(share.members) or is_due
            if not (stale or self._signer.revision_of(share, self.own()).has_others_above):
                continue
            try:
                self._bring_up(share, changed=stale)
            except (Unreachable, RollbackError):
                raise
            except FsError as error:
                left.append(LeftBehind(share.found.path, error))
        errors = [one.error for one in left] + [one.error for one in self.own().lost]
        if not any(isinstance(error, ConflictError) for error in errors):
            self._people.note_renewed(entries)
        return left

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
        bundle = self._people.bundle(self._session.context.questions, user)
        share = self.of(found)
        ways = (share.ways.get(user, {}) if share else {}) | {ALONE: role}
        before = share.roles.get(user) if share else None
        return self._give(found, {user: bundle}, ALONE, role), max(ways.values()), before

    def give_group(
        self, found: TreeNode, group: str, bundles: Mapping[str, VerifiedBundle], role: Role
    ) -> bool:
        """Share a node with members of a group in one change; False if nothing changes.

        The key is sealed to these bundles, which the caller has looked up, and to no other member
        of the group. Raises what `KeyDirectory.use` does if a bundle is out of date.
        """
        self._people.use(bundles.values())
        return self._give(found, bundles, group, role)

    def _give(
        self, found: TreeNode, bundles: Mapping[str, VerifiedBundle], way: str, role: Role
    ) -> bool:
        share = self.of(found)
        if not missing_grants(share, bundles, way, role):
            return False
        check_room(found, share, bundles)
        ways = share.ways if share else {}
        ways |= {user: ways.get(user, {}) | {way: role} for user in bundles}
        renewed = self._revise(found, ways, bundles)
        self.warn_of(self.renew_below(found, all_due=renewed))
        self.settle()
        return True

    def take(self, found: TreeNode, user: str) -> bool:
        """Remove a user from a share; False if the user was not a member.

        Afterwards, call `renew_below`.
        """
        self._check(found, user)
        share = self.of(found)
        if share is None or share.members.member(user) is None:
            return False
        self._revise(found, {name: ways for name, ways in share.ways.items() if name != user})
        return True

    def take_group(self, found: TreeNode, group: str, users: Collection[str]) -> None:
        """Remove the access that some users have through a group; other ways remain.

        Afterwards, call `renew_below`.
        """
        share = self.of(found)
        if share is None:
            return
        ways = dict(share.ways)
        for user in users & ways.keys():
            ways[user] = {way: role for way, role in ways[user].items() if way != group}
        self._revise(found, {user: left for user, left in ways.items() if left})

    def renew_below(self, top: TreeNode, *, all_due: bool = True) -> list[LeftBehind]:
        """Bring the shares below a node up to date after a change of its list.

        Each affected share gets its new list in a separate commit. If a member loses access, this
        commit renews the node, and each due folder on the path to it. Without `all_due`, shares
        whose list does not change are skipped: no key above them has changed. Return the nodes
        that could not be renewed.
        """
        own, left = self.own(), list[LeftBehind]()
        for share in own.shares:
            if not is_below(share.found, top):
                continue
            if not (all_due or self._signer.revision_of(share, self.own()).has_others_above):
                continue
            blocked = next((one for one in left if one.is_above(share.found)), None)
            try:
                if blocked is not None:
                    raise blocked.error
                self._bring_up(share, below=top)
            except (Unreachable, RollbackError):
                raise
            except FsError as error:
                left.append(LeftBehind(share.found.path, error))
        return left + self._lost_below(top)

    def _lost_below(self, top: TreeNode) -> list[LeftBehind]:
        """Return the lost shares that may be below a node, as far as their places are known."""
        parts = top.path.parts
        return [
            LeftBehind(lost.path, lost.error)
            for lost in self.own().lost
            if lost.path is None or lost.path.parts[: len(parts)] == parts
        ]

    def warn_of(self, left: list[LeftBehind]) -> None:
        """Warn of shares whose lists and keys are not up to date."""
        for one in left:
            self._ui.warn(one.sentence)

    def follow(
        self, found: TreeNode, to: TreeNode, name: str, changes: Committer, *, renew: bool
    ) -> None:
        """Update the member lists for a move, because the lists above name other writers there.

        With `renew`, shares below the moved node get new keys, and so do the folders on the path.
        """
        own = self.own()
        own.check(found)
        moved = replace(found, above=to, path=to.path.child(name))
        revisions = self._signer.moved(found, moved, own)
        if renew:
            self.warn_of(self._lost_below(found))
            self._renew_below(changes, found, revisions)
        else:
            revisions = [one for one in revisions if one.has_others_above]
        self._signer.sign_all(changes, revisions)
        self._followed = revisions

    def follow_again(self, found: TreeNode, now: TreeNode) -> None:
        """Update the member lists after a move that did not see who its folders are shared with.

        `found` is the node at its former place, `now` at its present one. It takes a new key, and
        so do the shares below it.
        """
        changes, mark = Committer(self._tree), self._tree.context.memory.mark()
        changes.renew(now)
        revisions = self._signer.moved(found, now, self.own())
        self._renew_below(changes, now, revisions)
        self._signer.sign_all(changes, revisions)
        changes.commit()
        self._signer.remember(revisions, mark)
        for revision in revisions:
            self._note(revision)

    def settle(self) -> None:
        """Bring all lists up to date if others have changed since the shares were looked at.

        Call it after the commit of a new list, or of a move (`follow`). Two devices of the owner
        may share and move at the same time, neither knowing of the other. Of two such commits, the
        later one is followed by a look that shows both.
        """
        for revision in self._followed:
            self._note(revision)
        if not are_as_before(self._tree, self.own(), places=not self._followed):
            self._own = None
            self.warn_of(self.refresh())

    def end_all(self, found: TreeNode, changes: Committer) -> bool:
        """Remove all members from the list of a restored node; False if it had no list.

        The same changes must give the node a new key.
        """
        members = self._tree.context.list_of(found)
        if members is None:
            return False
        revision = ListRevision(found, members, {})
        revision.above = self._signer.writers_above(found, self.own(), {})
        self._signer.sign_all(changes, [revision])
        return True

    def check_role(self, found: TreeNode, role: Role) -> None:
        """Raise `NotAllowedError` for the writer role on a single file."""
        if role is Role.WRITER and not found.is_folder:
            raise NotAllowedError(
                f"'{found.path}' is a file, and files alone can only be read by others.",
                hint="Share its folder with --write.",
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
        self, found: TreeNode, ways: Ways, known: Mapping[str, VerifiedBundle] | None = None
    ) -> bool:
        """Give a node its next list, and a new key if it needs one; return whether.

        It needs one if anybody loses access, if keys that opened the node have ended, or if the
        node is due. Nothing below the node changes, so that nothing there can prevent it.
        """
        share = self.of(found)
        revision = ListRevision(found, share.members if share else None, ways)
        revision.left = frozenset(share.left if share else ())
        revision.heirs = inherited_writers(found, self.own())
        revision.above = self._signer.writers_above(found, self.own(), {})
        revision.bundles = self._signer.usable(revision, known or {})
        ended = share is not None and self._has_ended_keys(share.members)
        renewed = revision.loses or ended or found.is_due_on_path
        self._commit(revision, [found] if renewed else [])
        return renewed

    def _bring_up(
        self, share: OwnShare, *, changed: bool = False, below: TreeNode | None = None
    ) -> None:
        """Give a share its next list if it needs one, and new keys where they are needed.

        `changed` says that it needs one. With `below`, it also needs one if a link on the way down
        from this folder was sealed under an older key.
        """
        # Looked up again: a commit before this one may have changed a folder on the way.
        found = self._tree.find(share.found.path)
        if found.keyed.node != share.found.keyed.node:
            raise ConflictError(f"'{share.found.path}' was moved concurrently.")
        way = [found, *folders_above(found)]
        if below is not None:
            way = [one for one in way if is_below(one, below)]
        way.reverse()
        first = next((at for at, one in enumerate(way) if one.is_due), len(way))
        due = way[first:] if below is not None else []
        revision = self._signer.revision_of(share, self.own())
        revision.found = found
        if not (changed or due or revision.has_others_above):
            return
        revision.bundles = self._signer.usable(revision, {})
        renews = (
            due or revision.loses or found.is_due_on_path or self._has_ended_keys(share.members)
        )
        self._commit(revision, way[first:] or [found] if renews else [])

    def _commit(self, revision: ListRevision, renewed: list[TreeNode]) -> None:
        """Commit one list, with new keys for these nodes, and note the share as it is then."""
        changes = Committer(self._tree)
        for one in renewed:
            changes.renew(one)
        mark = self._tree.context.memory.mark()
        self._signer.sign_all(changes, [revision])
        changes.commit()
        self._signer.remember([revision], mark)
        self._note(revision)

    def _note(self, revision: ListRevision) -> None:
        """Note a share as it is after the commit of its list."""
        if revision.signed is not None and self._own is not None:
            after = OwnShare(revision.found, revision.signed, [])
            self._own = self._own.with_share(after)

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

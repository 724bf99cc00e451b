"""Key rotations that sign the user's shares again in the same transaction.

Only the owner may sign a member list and the top of a share, and only with the newest keys. So a
member who looked between a rotation and the next lists would see nothing but signatures that no
longer count. What the rotation renews is therefore signed before, by the new keys, and sent in
parts; the server makes it together with the new entry of the key log.

If anything of it changes in the meantime, the server makes nothing, and it is signed again. Shares
that cannot be renewed this way are left out; `Sharing.refresh` renews them after the rotation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from fsclient.session.key_rotation import register, send_rotation
from fsclient.session.session import Session
from fsclient.sharing.list_signer import ListSigner
from fsclient.sharing.member_lists import ListRevision
from fsclient.sharing.own_shares import OwnShare, OwnShares, folders_above, own_shares
from fsclient.tree.commit import Committer, pause_before_retry
from fsclient.tree.context import TreeContext
from fsclient.tree.draft import Draft, SignedCommit
from fsclient.tree.nodes import FolderView, TreeNode
from fsclient.tree.root import RenewedRoot, renewed_root
from fsclient.tree.tree import Tree
from fsproto.errors import (
    ConflictError,
    FsError,
    NotAllowedError,
    NotFoundError,
    OutOfSpaceError,
    RollbackError,
    Unreachable,
)
from fsproto.keys.identity import Identity, VerifiedBundle
from fsproto.limits import MAX_CONTROL, MAX_GENERATION, MAX_ROTATE_PARTS, MAX_TOKENS
from fsproto.messages.base import Done
from fsproto.messages.files import Commit
from fsproto.messages.keylog import RotatePart
from fsproto.types import NodeId

_PREPARED = 3
"""How often the renewal is prepared from the start, with other new keys."""
_SIGNED = 20
"""How often one renewal is signed, while others change the folders in it."""
_PART_BYTES = MAX_CONTROL - 128 * 1024
"""Bytes of a part, at most; the largest member list with its sealed keys takes less."""
_MOST_BYTES = MAX_ROTATE_PARTS * MAX_CONTROL // 2
"""Bytes of all parts together, as estimated; so they fit even if each part is half full."""
_NODE_BYTES = 2500
"""Upper estimate of the bytes of a manifest with a state, without the former keys."""
_MEMBER_BYTES = 2000
"""Upper estimate of the bytes that a member takes in a list, with the sealed key."""


class RotationWithShares:
    """A rotation of the session's keys, with what it renews.

    Its constructor does all slow work. The one-time password is asked for after that, so that it
    does not expire.
    """

    def __init__(self, warn: Callable[[str], None], session: Session, new: Identity) -> None:
        """Look at the shares, sign what is renewed, and upload it.

        `warn` is called with a sentence about members whose keys are unusable.
        """
        self._warn, self._session, self._new = warn, session, new
        self._left = _PREPARED
        self._busy = set[NodeId]()
        """Folders that others have changed in the meantime."""
        self._renewal = self._prepared()

    def register(self, code: str) -> None:
        """Register the new keys and what is renewed under a one-time password.

        Raises the errors of `fsclient.session.key_rotation.register`.
        """
        while self._renewal is not None:
            try:
                if self._is_sent(self._renewal, code):
                    for sentence in self._renewal.warnings:
                        self._warn(sentence)
                    return
            except (NotAllowedError, OutOfSpaceError):
                break  # too much for this server; or for today, which `register` raises again
            self._renewal = self._prepared()
        register(self._session, self._new, code)

    def _prepared(self) -> ShareRenewal | None:
        """Return a renewal that is uploaded; None if the keys are registered without any."""
        while self._left:
            self._left -= 1
            try:
                renewal = ShareRenewal(self._session, self._new, () if self._left else self._busy)
                if renewal.is_empty:
                    return None
                renewal.upload()
            except (ConflictError, NotFoundError):
                continue  # something was changed while it was looked at
            except Unreachable:
                raise
            except FsError:
                return None  # if it is an alarm, the look at the shares later raises it again
            else:
                return renewal
        return None

    def _is_sent(self, renewal: ShareRenewal, code: str) -> bool:
        """Complete a renewal; return False if it must be prepared again."""
        for attempt in range(_SIGNED):
            try:
                renewal.send(code)
            except NotFoundError:
                return False  # a member's account was deleted
            except ConflictError:
                try:
                    changed = renewal.look()
                except Unreachable:
                    raise
                except FsError:
                    return False  # the next preparation meets it again, whatever it is
                self._busy |= changed
                if not changed:  # then it was a member list, or the keys of a member
                    return False
            else:
                return True
            pause_before_retry(attempt)
        return False


class ShareRenewal:
    """The next keys, lists and tops of the user's shares, to be registered with new keys.

    It uses a tree of its own, in which the user already has the new keys. The new keys of nodes
    are drawn once: if a member list changes, another renewal must be prepared, so that a person
    who is no longer a member has none of the keys.
    """

    def __init__(self, session: Session, new: Identity, without: Collection[NodeId] = ()) -> None:
        """Look at the shares; those in or below the folders `without` are left out.

        Raises what `own_shares` raises.
        """
        self._session, self._new = session, new
        context = TreeContext(session.connection, new, session.memory, session.people)
        session.people.catch_up(context.questions)
        root = session.tree.root
        context.authors.register_top(root.keyed, new.user, None)
        self._tree = Tree(context, root)
        self.warnings: list[str] = []
        """Sentences about members whose keys are unusable."""
        self._signer = ListSigner(Session(self._tree), self.warnings.append)
        self._changes = Committer(self._tree)
        self._root = self._changes.renew_root()
        own = own_shares(self._tree)
        left_out = {*without, *(lost.node for lost in own.lost)} - {root.keyed.node}
        self._revisions = self._revised(own, left_out)
        self._views: dict[NodeId, FolderView] = {}
        self._uploaded: tuple[Draft, SignedCommit, RenewedRoot] | None = None
        if self._revisions:
            self.look()

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to renew."""
        return not self._revisions

    def _revised(self, own: OwnShares, left_out: set[NodeId]) -> list[ListRevision]:
        """Describe the next key of each share, and of each folder on the way to it."""
        bundles = self._bundles(own)
        revisions, renewed, size = [], {self._root.node}, 0
        tokens = Counter[NodeId]()
        """How many tokens are looked up in each folder."""
        for share in own.shares:  # by path, so that a share comes before those in it
            way = [share.found, *folders_above(share.found)][-2::-1]
            nodes = {one.keyed.node: one for one in way}
            some = [one for node, one in nodes.items() if node not in renewed]
            revision = None
            if not (nodes.keys() & left_out) and not any(map(_is_used_up, some)):
                revision = self._revision(share, bundles)
            more = sum(map(_size, some)) + _MEMBER_BYTES * (1 + len(share.roles))
            names = dict(map(_tokens, some))
            many = any(tokens[one] + count > MAX_TOKENS for one, count in names.items())
            if revision is None or size + more > _MOST_BYTES or many:
                left_out.add(share.found.keyed.node)
                continue
            size += more
            tokens.update(names)
            for one in some:
                self._changes.renew(one)
                renewed.add(one.keyed.node)
            revisions.append(revision)
        roles = {each.node: each.roles for each in revisions}
        for each in revisions:
            each.above = self._signer.writers_above(each.found, own, roles)
        self._signer.sign_all(self._changes, revisions)
        return revisions

    def _bundles(self, own: OwnShares) -> dict[str, VerifiedBundle]:
        """Return the keys of all members, in one question for all shares."""
        members = {user for share in own.shares for user in share.roles}
        people, ask = self._session.people, self._session.context.questions
        return people.bundles(ask, sorted(members), lambda *_: None)

    def _revision(
        self, share: OwnShare, bundles: Mapping[str, VerifiedBundle]
    ) -> ListRevision | None:
        """Return the next list of a share without its writers above; None if there is none now."""
        revision = ListRevision(share.found, share.members, share.ways)
        try:
            revision.bundles = self._signer.usable(revision, bundles)
        except (Unreachable, RollbackError):
            raise
        except FsError:
            return None
        return revision

    def look(self) -> set[NodeId]:
        """Look at the folders again; return those that have changed."""
        before = self._views
        self._views = self._changes.look({})
        return {
            node
            for node, view in self._views.items()
            if node in before and view.state.hash != before[node].state.hash
        }

    def upload(self) -> None:
        """Sign everything on top of the present folders, and upload it; `send` completes it."""
        self._uploaded = self._upload()

    def _upload(self) -> tuple[Draft, SignedCommit, RenewedRoot]:
        mark, link = self._tree.context.memory.mark(), self._session.connection
        root = self._renewed_root()
        top = FolderView(root.state, self._views[self._root.node].tree, {})
        draft, signed, ask = self._changes.sign(self._views | {self._root.node: top}, mark)
        try:
            for part in _parts(ask):
                link.call(part, Done)
        except BaseException:
            draft.put_places_back()
            raise
        return draft, signed, root

    def send(self, code: str) -> None:
        """Have the server store what was uploaded with the new keys; remember it as seen.

        `ConflictError` if anything of it has changed; then nothing was registered, and the code
        was not used. After an error, the server has nothing of it, and `send` uploads it again.
        """
        draft, signed, root = self._uploaded or self._upload()
        self._uploaded = None
        try:
            send_rotation(self._session, self._new, root, code)
        except BaseException:
            draft.put_places_back()
            raise
        self._remember(root, signed)

    def _renewed_root(self) -> RenewedRoot:
        root, state = self._session.tree.root, self._views[self._root.node].state
        return renewed_root(root, self._root, state, self._new, self._session.people.log_head)

    def _remember(self, root: RenewedRoot, signed: SignedCommit) -> None:
        """Remember what was registered as seen; the root has two new states."""
        self._tree.note_committed([root.state], [root.manifest], signed.mark)
        self._tree.note_committed(signed.states, signed.manifests, signed.mark)
        self._signer.remember(self._revisions, signed.mark)


def _is_used_up(one: TreeNode) -> bool:
    return one.keyed.generation >= MAX_GENERATION


def _tokens(one: TreeNode) -> tuple[NodeId, int]:
    """Return a node's folder, and how many tokens its name has there, a new key included."""
    above = one.above
    if above is None:
        return one.keyed.node, 0
    return above.keyed.node, len(above.keyed.tokens(one.metadata.name)) + 1


def _size(one: TreeNode) -> int:
    """Return an upper estimate of the bytes of a node's next manifest, with its state."""
    return _NODE_BYTES + 32 * one.keyed.generation


def _parts(ask: Commit) -> Iterator[RotatePart]:
    """Yield the parts of a commit, each with as much as a message holds."""
    part, size = RotatePart([], [], [], []), 0
    items: Iterator[tuple[str, Any, int]] = chain(
        (("states", one, len(one.payload) + len(one.signature)) for one in ask.states),
        (("manifests", one, len(one.payload) + len(one.signature)) for one in ask.manifests),
        (("removals", one, 48) for one in ask.removals),
        (
            ("members", one, sum(len(each.sealed) + 64 for each in one.sealed)
             + len(one.members.payload) + len(one.members.signature))
            for one in ask.members
        ),
    )  # fmt: skip
    for kind, one, length in items:
        if size and size + length > _PART_BYTES:
            yield part
            part, size = RotatePart([], [], [], []), 0
        getattr(part, kind).append(one)
        size += length + 16
    yield part

"""Folders: look-up, listing, and atomic changes of several folders.

The server cannot read names or content, but it verifies each signature, each chain of versions and
each folder's root before it commits, so that an honest server never stores data that a client
would reject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

from sqlalchemy.orm import Session as Db

from fsd.audit.events import AuditEvent
from fsd.audit.log import AuditLog
from fsd.blobs.base import BlobStore, release
from fsd.policies import KeepPolicy
from fsd.principal import Principal
from fsd.services.files.commit_checks import (
    VerifiedCommit,
    changed_trees,
    check_generations,
    check_key_commitments,
    check_renewals,
    check_sizes,
    check_tokens,
    check_versions,
    find_displaced,
    place,
)
from fsd.services.files.commit_contents import store_small, take_contents
from fsd.services.files.folder_trees import FolderTrees, is_due
from fsd.services.files.growth import growth_of, touched_nodes
from fsd.services.files.key_log import KnownHeads, check_log_heads
from fsd.services.files.member_lists import NextList, check_lists, notify_members, store_list
from fsd.services.files.places import check_places, placed_nodes
from fsd.services.files.quotas import Quotas, check_charged
from fsd.services.files.removal import (
    MARK_S,
    Foreseen,
    Removes,
    StillMarkingError,
    foresee,
    mark_removed,
    removes,
)
from fsd.services.files.shares import folder_for
from fsd.services.files.tree_cache import FolderTree
from fsd.services.files.writing import write_nodes
from fsd.services.paging import stored
from fsd.store.engine import Database, DatabaseError
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import (
    lineages,
    nodes,
    pending_removals,
    quotas,
    shares,
    users,
    versions,
)
from fsd.store.repos.nodes import StoredNode, StoredState
from fsd.store.repos.quotas import HeldQuota
from fsd.store.repos.versions import Departure
from fsproto.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
)
from fsproto.keys.grants import Role
from fsproto.limits import MAX_CONTROL
from fsproto.messages.base import Done
from fsproto.messages.files import (
    Commit,
    Entries,
    Found,
    Listed,
    Stale,
)
from fsproto.messages.history import Lineal
from fsproto.types import Hash, NodeId, Token

_MOVE_WITHIN_S = 1.0
"""How long a look-up waits to store a tree; the next one tries it again."""


class FileService:
    """Reads and changes of folders; all calls block, none uses sockets."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        now_ms: Callable[[], int],
        keep: KeepPolicy | None = None,
        audit: AuditLog | None = None,
        room: Quotas | None = None,
    ) -> None:
        """Take the parts; `keep`: what stays of what is replaced; `audit`: where shares go."""
        self._database = database
        self._audit = audit
        self._room = room or Quotas(database, now_ms=now_ms)
        self._keeping = keep or KeepPolicy()
        self._blobs = blobs
        self._now_ms = now_ms
        self._trees = FolderTrees()
        self._heads = KnownHeads()

    def lookup(self, who: Principal, folder: NodeId, tokens: list[Token]) -> Found:
        """Return a folder's state with the proof and the manifests for some tokens."""
        check_tokens(tokens)
        with self._database.read() as db:
            folder_for(db, nodes.get(db, folder), who, Role.READER)
            state = nodes.state(db, folder)
            tree = self._trees.load(db, state, tokens)
            found, of_state = _found(db, state, tree, tokens), Hash(state.hash)
        if is_due(tree):
            with suppress(DatabaseError), self._database.write(_MOVE_WITHIN_S) as db:
                self._trees.move_to_pages(db, folder, of_state, tree)
        return found

    def listing(self, who: Principal, folder: NodeId) -> Iterator[Entries | Listed]:
        """Yield the manifests of everything in a folder, and then the state they belong to.

        All are of one moment, though each part is read when it is sent. `ConflictError` if a
        manifest of that moment is no longer there.
        """
        with self._database.read() as db:
            folder_for(db, nodes.get(db, folder), who, Role.READER)
            end = Listed(nodes.signed(nodes.state(db, folder)))
            index = stored(nodes.index(db, folder), self._blobs.scratch())
        for page in index:
            with self._database.read() as db:
                folder_for(db, nodes.get(db, folder), who, Role.READER)
                manifests = nodes.indexed(db, page)
            yield Entries(manifests)
        yield end

    def commit(self, who: Principal, ask: Commit) -> Done | Stale:
        """Change folders, all or none; return `Stale` if another commit came first."""
        change = VerifiedCommit.verified(who, ask)
        foreseen = self._look_ahead(who, change)
        try:
            answer = self._commit(who, change, foreseen)
        except StillMarkingError as error:  # what is to be restored may be among it
            mark_removed(self._database, error.owner_id)
            answer = self._commit(who, change, foreseen)
        if foreseen is not None and foreseen.removed.is_large:
            with suppress(DatabaseError):  # the removal is stored; the janitor marks the rest
                mark_removed(self._database, foreseen.owner_id, MARK_S)
        return answer

    def _commit(
        self, who: Principal, change: VerifiedCommit, foreseen: Foreseen | None
    ) -> Done | Stale:
        """Change folders in one transaction."""
        with self._database.write() as db:
            owner_id = quotas.owner_of(db, change.standing_folders()) or who.user_id
            quota = quotas.hold(db, owner_id)
            if users.current_key(db, who.user_id) != who.ed25519:
                raise ConflictError("Your keys were replaced or reset in the meantime.")
            current = nodes.states_for_update(db, change.states)
            if change.is_stale(current):
                answer = self._stale(db, who, change, current)
                self._stage(db, who, change)
                return answer
            trees, gone = self._apply(db, who, change, current, quota, foreseen=foreseen)
        self._settle(change, trees, gone)
        return Done()

    def _look_ahead(self, who: Principal, change: VerifiedCommit) -> Foreseen | None:
        """Do what needs no lock: check the log heads, and look for what is removed."""
        heads = self._heads.others(who, change.log_heads())
        if not heads and not change.only_removes:
            return None
        with self._database.read() as db:
            check_log_heads(db, who.user, heads)
            foreseen = foresee(db, who, change) if change.only_removes else None
        self._heads.add(who, heads)
        return foreseen

    def renew(self, db: Db, who: Principal, change: VerifiedCommit) -> Callable[[], None]:
        """Make what a rotation renews, in its transaction; return what to call after that.

        `who` has the new key; the quota is locked. `ConflictError` if a folder has changed.
        """
        current = nodes.states_for_update(db, change.states)
        if change.is_stale(current):
            raise ConflictError("What you share was changed in the meantime; try again.")
        quota = quotas.hold(db, who.user_id)  # it is held already
        trees, gone = self._apply(db, who, change, current, quota)
        return partial(self._settle, change, trees, gone)

    def _settle(
        self, change: VerifiedCommit, trees: dict[NodeId, FolderTree], gone: list[str]
    ) -> None:
        """Delete the blobs that a stored change left, and keep its trees in memory."""
        release(self._blobs, gone)
        tokens = change.tokens()
        for folder, tree in trees.items():
            self._trees.keep(folder, change.states[folder].hash, tree, tokens[folder])

    def _stale(
        self, db: Db, who: Principal, change: VerifiedCommit, current: dict[bytes, StoredState]
    ) -> Stale:
        found, tokens = [], change.tokens()
        for folder, state in current.items():
            folder_for(db, nodes.get(db, folder), who, Role.WRITER)
            some = tokens[NodeId(folder)]
            found.append(_found(db, state, self._trees.load(db, state, some), some))
        return Stale(found)

    # --- changes

    def _stage(self, db: Db, who: Principal, change: VerifiedCommit) -> None:
        """Stage the small blobs of a commit that was refused."""
        known = blob_rows.known(db, list(change.blobs))
        new = [(blob, None) for blob in change.blobs.items() if blob[0] not in known]
        store_small(db, who.user_id, new, self._now_ms())

    def _apply(
        self,
        db: Db,
        who: Principal,
        change: VerifiedCommit,
        current: dict[bytes, StoredState],
        quota: HeldQuota | None,
        *,
        foreseen: Foreseen | None = None,
    ) -> tuple[dict[NodeId, FolderTree], list[str]]:
        """Check and store a change; return the new trees and the places to empty.

        `quota` is the row in which the changed tree counts; it is locked. `foreseen` is what the
        change would have removed before that.
        """
        nodes.hold(db, change.nodes_to_hold())
        before = nodes.get_all(db, change.nodes_before())
        tokens = change.tokens_to_check(before)
        old = {
            NodeId(folder): self._trees.load(db, state, tokens[NodeId(folder)])
            for folder, state in current.items()
        }
        owner_id = _owner(db, who, change, before)
        check_charged(db, owner_id, quota)
        check_versions(owner_id, change, before)
        check_generations(change, before)
        was = nodes.bodies(db, change.changed(before)) if owner_id != who.user_id else {}
        check_renewals(who, owner_id, change, before, was)
        check_key_commitments(who, owner_id, change, was)
        check_lists(db, who, change.lists, before, change.generations(before))
        self._check_renewed_lists(db, change, before)
        new = changed_trees(change, old)
        check_sizes(old, new)
        gone_from = find_displaced(change, old, before, new)
        moved = [
            node.id
            for node in before.values()
            if (manifest := change.manifests.get(NodeId(node.id))) is not None
            and node.parent_id is not None
            and (node.parent_id, node.token) != place(manifest)
        ]
        back = _brought_back(db, who, change, before)
        placed = placed_nodes(change, before)
        if back and pending_removals.exist(db, owner_id):
            raise StillMarkingError(owner_id)
        goes = None
        if gone_from and change.only_removes:  # it may be large
            goes = removes(db, gone_from, foreseen, quota)
        touched = touched_nodes(db, change, before, [*([] if goes else gone_from), *back])
        held = quotas.of_nodes(db, touched)
        stores = growth_of(db, change, before, gone_from, goes.together if goes else None)
        nodes.unplace(db, [*gone_from, *moved])
        take_contents(db, who, owner_id, change, before, now_ms=self._now_ms())
        lineages.keep(db, Lineal.STATE, [row[:3] for row in current.values()])
        gone = write_nodes(db, owner_id, change, before, quota, keep=self._keeping.keep_versions)
        added: dict[str, int] = {}
        for new_list in change.lists.values():
            most = self._room.policy.shares_with_one
            added |= store_list(db, who, new_list, self._now_ms(), most)
            self._record(db, who, new_list)
        check_places(db, change, placed)
        if back:
            versions.bring_back(db, back)
        gone += self._let_go(db, change, current, (old, new), gone_from, goes=goes)
        kept = self._trees.store(db, current, old, new)
        changed = quotas.of_nodes(db, touched).less(held).and_more(change.new_files(before))
        changed = changed.less(goes.now.held) if goes else changed
        self._room.settle(db, who, quota, changed, change.salts(), stores=stores)
        notify_members(db, who, added, self._now_ms())
        return kept, gone

    def _record(self, db: Db, who: Principal, new: NextList) -> None:
        """Record the members that a node is now shared with."""
        if self._audit is None:
            return
        body = new.members.body
        people = ", ".join(f"{one.user} ({one.role.name.lower()})" for one in body.members)
        detail = f"{body.node.hex()} with {people or 'no members'}"
        self._audit.record_own(db, AuditEvent.SHARED, who, detail)

    def _let_go(
        self,
        db: Db,
        change: VerifiedCommit,
        current: dict[bytes, StoredState],
        trees: tuple[dict[NodeId, FolderTree], dict[NodeId, FolderTree]],
        gone_from: dict[bytes, tuple[NodeId, Token]],
        *,
        goes: Removes | None,
    ) -> list[str]:
        """Mark nodes that lost their place as removed, or delete them; return places to empty."""
        if not gone_from:
            return []
        in_pieces = goes is not None and goes.together.is_large
        keeps = bool(self._keeping.keep_removed_days)
        if not keeps and not in_pieces:
            doomed = goes.now.below if goes else nodes.below(db, list(gone_from))
            roots = blob_rows.of_nodes(db, doomed)
            nodes.drop(db, doomed)
            return blob_rows.drop(db, roots)
        old, new = trees
        left: dict[NodeId, list[Token]] = {}
        for folder, token in gone_from.values():
            left.setdefault(folder, []).append(token)
        after = {
            folder: self._trees.filled(db, folder, new[folder], tokens)
            for folder, tokens in left.items()
        }
        departures = [
            Departure(
                node,
                folder,
                nodes.signed(current[folder]),
                old[folder].prove([token]),
                change.states[folder].signed,
                after[folder].prove([token]),
            )
            for node, (folder, token) in gone_from.items()
        ]
        now_ms = self._now_ms()
        versions.set_aside(db, departures, now_ms, goes.now.below if goes else None)
        if in_pieces:
            pending_removals.start(db, gone_from, now_ms)
        if not keeps:
            versions.doom(db, list(gone_from))
        return []

    def _check_renewed_lists(
        self, db: Db, change: VerifiedCommit, before: dict[bytes, StoredNode]
    ) -> None:
        """Refuse a new key of a shared node without a new member list that has the key."""
        renewed = [
            node
            for node, manifest in change.manifests.items()
            if (row := before.get(node)) is not None
            and row.generation != manifest.body.generation
            and node not in change.lists
        ]
        if renewed and shares.lists(db, renewed):
            raise NotAllowedError(
                "Something in there is shared on its own; only its owner can give it a new key."
            )


def _found(db: Db, state: StoredState, tree: FolderTree, tokens: list[Token]) -> Found:
    entries = (tree.get(token) for token in sorted(set(tokens)))
    present = [entry.node for entry in entries if entry is not None]
    return Found(nodes.signed(state), tree.prove(tokens), nodes.manifests(db, present, MAX_CONTROL))


def _brought_back(
    db: Db, who: Principal, change: VerifiedCommit, before: dict[bytes, StoredNode]
) -> list[bytes]:
    """Return the removed nodes that get a place; raise unless the user may restore them."""
    back = [row for row in before.values() if row.removed_from and row.id in change.manifests]
    for row in back:
        if row.removed_from == versions.DOOMED:
            raise NotFoundError("That was deleted for good.")
        if row.owner_id != who.user_id and shares.role(db, who.user_id, row.id) is not Role.WRITER:
            raise NotFoundError("There is no such file or folder.")
    return [row.id for row in back]


def _owner(db: Db, who: Principal, change: VerifiedCommit, before: dict[bytes, StoredNode]) -> int:
    """Return the owner of the changed tree; raise unless the user may write to all its folders."""
    for node in (*change.states, *change.lists):
        row = before.get(node)
        if row is not None and row.removed_ms is not None and node not in change.manifests:
            raise ConflictError("That folder or file was removed in the meantime.")
    owners = set()
    for folder in change.states:
        if change.makes_folder(folder):
            continue
        owners.add(folder_for(db, before.get(folder), who, Role.WRITER).owner_id)
    if len(owners) > 1:
        raise NotAllowedError("Nothing can be moved from one person's tree to another's.")
    return owners.pop() if owners else who.user_id

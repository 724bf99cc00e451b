"""A shared folder at the server's services: the messages of its owner and its members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fsproto.keys.grants import Role, wrap
from fsproto.keys.member_list import (
    FORMAT,
    Member,
    MemberList,
    VerifiedMembers,
    sealed_hash,
    sign_members,
    verify_members,
)
from fsproto.keys.tree import KeyedNode
from fsproto.messages.base import Done
from fsproto.messages.files import Commit, InlineBlob, Stale
from fsproto.messages.shares import NewMembers, SealedKey
from fsproto.packing import unpack
from fsproto.proofs.prefix_tree import FolderEntry, PrefixTree
from fsproto.sealed import folder
from fsproto.sealed.folder import FolderState, VerifiedState, sign_state, verify_state
from fsproto.sealed.integrity import blob_root
from fsproto.sealed.manifest import (
    Content,
    Manifest,
    VerifiedManifest,
    sign_manifest,
    verify_author,
)
from fsproto.types import NO_HASH, NodeId, Root, Salt
from tests.support import fixed_keys
from tests.support.services import Services, ServiceUser

replace = msgspec.structs.replace

BLOB = b"sealed, as far as a server can tell"
Share = tuple[ServiceUser, Role]


@dataclass
class SharedFolder:
    """A folder at the top of its owner's tree, after all commits that the server accepted."""

    office: Services
    owner: ServiceUser
    keyed: KeyedNode
    manifest: VerifiedManifest
    state: VerifiedState
    entries: PrefixTree = field(default_factory=PrefixTree)
    members: VerifiedMembers | None = None

    @property
    def node(self) -> NodeId:
        return self.keyed.node

    # --- the messages

    def list_of(
        self,
        *shares: Share,
        under: KeyedNode | None = None,
        signer: ServiceUser | None = None,
        again: Sequence[str] = (),
        **changes: Any,
    ) -> NewMembers:
        """Return the next member list, with a key sealed again to each member."""
        keyed, before = under or self.keyed, self.members
        sealed = [
            wrap(keyed, who.identity.bundle, role, fixed_keys.Seeded("w")) for who, role in shares
        ]
        people = [
            Member(
                who.name,
                role,
                who.identity.signing.public,
                who.identity.bundle.hash,
                sealed_hash(key),
            )
            for (who, role), key in zip(shares, sealed, strict=True)
        ]
        body = MemberList(
            format=FORMAT,
            node=self.node,
            version=before.body.version + 1 if before else 1,
            lineage=before.point.next_lineage if before else NO_HASH,
            generation=keyed.generation,
            owner=self.owner.name,
            owner_key=self.owner.identity.signing.public,
            members=people,
            above=[],
            former=[],
            time_ms=fixed_keys.TIME_MS,
            log_head=self.office.log_head(),
        )
        signing = (signer or self.owner).identity.signing
        signed = sign_members(signing, replace(body, **changes))
        keys = [SealedKey(who.name, key) for (who, _), key in zip(shares, sealed, strict=True)]
        return NewMembers(signed.signed, keys, list(again))

    def put(
        self,
        who: ServiceUser,
        name: str,
        blob: bytes = BLOB,
        *,
        state: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Commit:
        """Return the commit by which a person puts a new file, with changes to some fields."""
        node = NodeId(fixed_keys.stretch(f"{self.owner.name} {who.name} {name} id", 16))
        salt = Salt(fixed_keys.stretch(f"{who.name} {name} salt", 32))
        content = Content(1, salt, blob_root(salt, blob), len(blob), bytes(32))
        body = who.manifest(node, self.node, self.keyed.token(name), content)
        body = replace(body, link_generation=self.keyed.generation)
        made = sign_manifest(who.identity.signing, replace(body, **changes))
        entries = self.entries.put(FolderEntry(made.body.token, node, made.hash))
        signed = self.next_state(who, entries, **(state or {}))
        return Commit([signed.signed], [made.signed], [], [InlineBlob(salt, blob)], [])

    def next_state(self, who: ServiceUser, entries: PrefixTree, **changes: Any) -> VerifiedState:
        """Return the folder's next state, signed by a person."""
        next_ = replace(
            self.state.body,
            version=self.state.body.version + 1,
            lineage=self.state.point.next_lineage,
            root=entries.root,
            author=who.name,
            author_key=who.identity.signing.public,
            log_head=self.office.log_head(),
        )
        return sign_state(who.identity.signing, replace(next_, **changes))

    def renewal(self, new: KeyedNode, *shares: Share, **changes: Any) -> Commit:
        """Return the owner's commit that gives the folder a new key, sealed to these members."""
        owner, before = self.owner, self.manifest
        body = replace(
            before.body,
            version=before.body.version + 1,
            lineage=before.point.next_lineage,
            generation=new.generation,
            former=new.seal_former(fixed_keys.Seeded("former")),
            log_head=self.office.log_head(),
        )
        made = sign_manifest(owner.identity.signing, replace(body, **changes))
        own = self.next_state(owner, self.entries, generation=new.generation)
        top = owner.enter(FolderEntry(made.body.token, self.node, made.hash))
        lists = [self.list_of(*shares, under=new)]
        return Commit([top.signed, own.signed], [made.signed], [], [], lists)

    # --- sending the messages

    def share(self, *shares: Share, again: Sequence[str] = ()) -> None:
        """Have the owner share the folder with exactly these members."""
        self.send(self.owner, Commit([], [], [], [], [self.list_of(*shares, again=again)]))

    def renew(self, *shares: Share) -> None:
        """Have the owner share the folder with exactly these members, under a new key."""
        new = self.keyed.renewed(fixed_keys.Seeded(f"key {self.keyed.generation}"))
        self.send(self.owner, self.renewal(new, *shares))
        self.keyed = new

    def send(self, who: ServiceUser, ask: Commit) -> Done | Stale:
        """Send a commit; if the server makes it, later messages build on it."""
        answer = self.office.files.commit(who.who, ask)
        if isinstance(answer, Done):
            self.follow(who, ask)
        return answer

    def follow(self, who: ServiceUser, ask: Commit) -> None:
        """Record a person's commit as made."""
        user, key = who.name, who.identity.signing.public
        for signed in ask.manifests:
            made = verify_author(signed, user, key)
            if made.body.node == self.node:
                self.manifest = made
            if made.body.parent == self.node:
                self.entries = self.entries.put(
                    FolderEntry(made.body.token, made.body.node, made.hash)
                )
        for signed in ask.states:
            if unpack(signed.payload, FolderState).folder == self.node:
                self.state = verify_state(signed, self.node, user, key)
        for new in ask.members:
            self.members = verify_members(new.members, self.node, user, key)


def make_folder(office: Services, owner: ServiceUser, name: str = "shared") -> SharedFolder:
    """Make a folder at the top of a person's tree, without sharing it."""
    keyed = fixed_keys.keyed_node(f"{name} of {owner.name}")
    body = owner.manifest(keyed.node, owner.root.node, owner.root.token(name), None)
    made = sign_manifest(owner.identity.signing, body)
    first = FolderState(
        format=folder.FORMAT,
        folder=keyed.node,
        version=1,
        lineage=NO_HASH,
        root=PrefixTree().root,
        generation=1,
        author=owner.name,
        author_key=owner.identity.signing.public,
        time_ms=fixed_keys.TIME_MS,
        log_head=office.log_head(),
    )
    state = sign_state(owner.identity.signing, first)
    top = owner.enter(FolderEntry(body.token, keyed.node, made.hash))
    office.files.commit(owner.who, Commit([top.signed, state.signed], [made.signed], [], [], []))
    return SharedFolder(office, owner, keyed, made, state)


def file_of(ask: Commit) -> tuple[NodeId, Root]:
    """Return node and root of the one file that a commit puts."""
    body = unpack(ask.manifests[0].payload, Manifest)
    if body.content is None:
        raise AssertionError("no file")
    return body.node, body.content.root

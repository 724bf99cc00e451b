"""Whose signature counts where: owners, and the writers whom owners name in signed lists.

Every folder that a session opens is registered here with its parent folder. The signature of a
person other than the owner counts if a list on the way from the folder up to the top names this
person as a writer. The list must do so for the right generation: the generation of the listed
node's key under which the next link down was sealed. So the signature of a removed writer counts
for the earlier generations, and for nothing newer.

    top (generation 3, list) ── a (its link was sealed under 3) ── folder
        former writer until 2: what hangs on generation 3 cannot be theirs

A key of the owner that the key log has ended counts like a former writer. The owner's next list
names it, with the last generation under which it counts. In the owner's own tree no list is needed:
every rotation gives the root its next key, so the owner's n-th key counts below links that were
sealed under the root's generations 1 to n.

A way with a link under an older generation is due for new keys. Until it has them, the signature of
a removed writer fits there. So once this client knows the list that removed the writer and has seen
a folder there, it refuses a newer state with that writer's signature (`SeenVersions`, frozen).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from fsclient.trust.audience import Audience
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.places import Places
from fsclient.trust.questions import Questions
from fsclient.trust.refusals import nobody, not_renewed, of_another_age, signed_by_ended_key
from fsclient.trust.second_look import SecondLook
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import LIST, Sighting, Since, age, key_end, list_signer, seen_list
from fsproto.errors import (
    ConflictError,
    FsError,
    NotFoundError,
    RemoteProtocolError,
    RollbackError,
    SignatureError,
)
from fsproto.keys.member_list import VerifiedMembers, stated_members, verify_members
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_LISTS
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, VerifiedState, verify_state
from fsproto.sealed.manifest import Manifest, VerifiedManifest, check_author, is_first_root
from fsproto.signed import Signed, Verifier
from fsproto.types import NO_NODE, Hash, NodeId


class AuthorRules:
    """Decides whose signatures count where."""

    def __init__(self, ask: Questions, people: KeyDirectory, memory: SeenVersions) -> None:
        self._ask = ask
        self._people = people
        self._memory = memory
        self.places = Places()
        self.second_look = SecondLook(self.places)
        self._own_root = NO_NODE
        """The top of the user's own tree; it has no list."""
        self._lists: dict[NodeId, VerifiedMembers | None] = {}
        self._verifiers: dict[bytes, Verifier] = {}
        self._older: set[Hash] = set()
        """Older versions that were checked along their chain."""
        self.frozen: dict[NodeId, Since] = {}
        """Folders whose last author, or that author's key, no longer counts; and since when."""

    def register_top(self, node: KeyedNode, owner: str, members: VerifiedMembers | None) -> None:
        """Register the top of a tree: the user's own, or the top of a share with its list."""
        self.places.register_top(node, owner)
        if members is None:
            self._own_root = node.node
        self._lists[node.node] = members

    # --- whose signature counts

    def state(self, signed: Signed, folder: KeyedNode) -> VerifiedState:
        """Verify a folder's state; `SignatureError` if its author may not write there.

        `ConflictError` for a folder that was found in two places: the two places may have
        different writers.
        """
        if self.places.is_torn(folder.node):
            raise ConflictError(
                "A folder was found in two places: it may have been moved just now.",
                hint="Give the same command again.",
            )
        claimed = unpack(signed.payload, FolderState)
        self._read_for(claimed)
        if self._is_owners(folder.node, claimed):
            self.frozen.pop(folder.node, None)
        else:
            with self.second_look.unless_moved(folder.node):
                self._check_writer(folder.node, claimed, ever=False)
        ended = self._people.log.ended(claimed.author, claimed.author_key)
        if ended is not None:
            since = key_end(ended)
            self._memory.remember([since])  # unless it is known already
            self.frozen[folder.node] = since.node, since.what
        state = self._verified_state(signed, folder.node, claimed)
        if state.body.generation != folder.generation:
            raise of_another_age("its state", state.body.generation, folder.generation)
        return state

    def prepare(self, folder: NodeId, manifests: Iterable[VerifiedManifest]) -> None:
        """Ask for the lists that name the possible authors of the entries of a folder."""
        owner = self.places[folder].owner
        if any(manifest.body.author != owner for manifest in manifests):
            self._load(self.places.way_up(folder))

    def check_manifest(self, manifest: VerifiedManifest) -> None:
        """Check a manifest's signature; the node is a top, or its folder is registered."""
        if manifest.hash in self._older:
            return
        body = manifest.body
        self._read_for(body)
        folder = self._place_of(body)
        # The folder's state proves that the entry belongs there now. So it is enough that the
        # author was a writer at some time. No state proves this for a top.
        is_top = folder == body.node
        owners = self._is_owners if is_top else self._was_owners
        if not owners(folder, body):
            with self.second_look.unless_moved(folder):
                self._check_writer(folder, body, ever=not is_top)
        self._check_signature(manifest)

    def check_older(self, manifest: VerifiedManifest, now: VerifiedManifest) -> bool:
        """Check the signature of an older version, to which the newest (`now`) leads.

        Raises `SignatureError` if its author could not write in its folder of that time. Return
        False if this is unknown: that folder is not on the way to the node's present place.
        """
        with self.second_look.unless_moved(self._place_of(now.body)):
            placed = self._was_writer(manifest, now)
        self._check_signature(manifest)
        self._older.add(manifest.hash)
        return placed

    def _was_writer(self, manifest: VerifiedManifest, now: VerifiedManifest) -> bool:
        body, here = manifest.body, now.body
        place = self._place_of(here)
        if self._was_owners(place, body):
            return True
        for folder in dict.fromkeys((body.parent, place)):
            if folder not in self.places:
                continue
            try:
                self._check_writer(folder, body, ever=True)
            except SignatureError:
                continue
            return True
        owner = self.places[place].owner
        if body.author == owner or body.parent == here.parent or body.parent in self.places:
            raise nobody()
        return False

    def former_state(self, signed: Signed, folder: KeyedNode) -> VerifiedState:
        """Verify a state that a folder once had; `SignatureError` if no writer of it signed it."""
        claimed = unpack(signed.payload, FolderState)
        if not self._was_owners(folder.node, claimed):
            with self.second_look.unless_moved(folder.node):
                self._check_writer(folder.node, claimed, ever=True)
        return self._verified_state(signed, folder.node, claimed)

    def look_at_lists(self, nodes: Sequence[NodeId]) -> None:
        """Ask for the present member lists of registered nodes, as many at once as possible."""
        waiting = deque(nodes[at : at + MAX_LISTS] for at in range(0, len(nodes), MAX_LISTS))
        while waiting:
            some = waiting.popleft()
            try:
                self._load(list(some), fresh=True)
            except (RemoteProtocolError, NotFoundError):
                if len(some) == 1:
                    raise
                half = len(some) // 2  # the lists together may be too long for one answer
                waiting.extendleft((some[half:], some[:half]))

    def list_of(self, node: NodeId) -> VerifiedMembers | None:
        """Return the present member list of a registered node; None if it has none."""
        self._load([node], fresh=True)
        return self._lists[node]

    def audience(self, folder: NodeId) -> Audience:
        """Return the readers and writers of a registered folder, as far as the lists show."""
        way = self.places.way_up(folder)
        self._load(way, fresh=True)
        return Audience.of({node: self._lists[node] for node in way})

    def may_write(self, node: NodeId, user: str) -> bool:
        """Return whether the server accepts changes of a person in a registered folder or top.

        The owner may; others if a list on the way up names them as writers now.
        """
        if self.places[node].owner == user:
            return True
        way = self.places.way_up(node)
        self._load(way, fresh=True)
        for one in way:
            members = self._lists[one]
            if members is not None and members.may_write(user, members.body.generation):
                return True
        return False

    def forget_lists(self) -> None:
        """Forget the lists, so that the server is asked again."""
        self._lists.clear()

    def _read_for(self, signed: FolderState | Manifest) -> None:
        """Read the key log as far as a stated author's signature may need it."""
        author, key = signed.author, signed.author_key
        self._people.read_for(self._ask, author, key, signed.log_head)

    def _place_of(self, body: Manifest) -> NodeId:
        """Return the node whose lists name the possible authors: its folder, or a top itself."""
        return body.node if body.node in self.places.tops else body.parent

    def _is_owners(self, node: NodeId, signed: FolderState | Manifest) -> bool:
        """Return whether the stated author is the owner, with the newest key."""
        owner = self.places[node].owner
        return signed.author == owner and signed.author_key == self._people.identity_keys(owner)[-1]

    def _was_owners(self, node: NodeId, signed: FolderState | Manifest) -> bool:
        """Return whether the stated author is the owner, with the newest or an earlier key."""
        owner = self.places[node].owner
        return signed.author == owner and signed.author_key in self._people.identity_keys(owner)

    def _verified_state(
        self, signed: Signed, folder: NodeId, claimed: FolderState
    ) -> VerifiedState:
        author, key = claimed.author, claimed.author_key
        state = verify_state(signed, folder, author, key)
        if folder != self._own_root or claimed.version > 1:  # that one was signed to enrol
            self._people.check_age(author, key, claimed.log_head)
        return state

    def _check_signature(self, manifest: VerifiedManifest) -> None:
        """Verify the signature of the stated author."""
        body = manifest.body
        if not is_first_root(body):
            self._people.check_age(body.author, body.author_key, body.log_head)
        key = self._verifiers.setdefault(body.author_key, Verifier(body.author_key))
        check_author(manifest, body.author, key)

    def _check_writer(self, folder: NodeId, signed: FolderState | Manifest, *, ever: bool) -> None:
        """Raise unless a list on the way up names the author; with `ever`, at any time."""
        way = self.places.way_to_list(folder)
        under = self.places.generations(way, ever=ever)
        for how in ("known", "missing", "fresh"):  # a list may be newer than when it was asked for
            if how != "known":
                self._load(way, fresh=how == "fresh")
            for node, generation in zip(way, under, strict=True):
                members = self._lists.get(node)
                if members is not None and self._names(members, signed, generation):
                    if not ever:
                        self._note_frozen(folder, node, members, signed)
                    return
                if self._counts_in_own(node, signed.author, signed.author_key, generation):
                    return
        if self._is_not_renewed(way, signed):
            raise not_renewed(signed.author)
        raise nobody()

    def _is_not_renewed(self, way: list[NodeId], signed: FolderState | Manifest) -> bool:
        """Return whether the owner may have to renew this share after a rotation of the keys.

        If so, the newest list of the share is signed with the same ended key.
        """
        if way[-1] == self._own_root or signed.author != self.places[way[0]].owner:
            return False
        lists = [members for node in way if (members := self._lists.get(node)) is not None]
        return any(members.body.owner_key == signed.author_key for members in lists)

    def _counts_in_own(self, node: NodeId, author: str, key: bytes, generation: int) -> bool:
        """Return whether a key of the user counts under a generation of the user's own root."""
        if node != self._own_root or author != self.places[node].owner:
            return False
        keys = self._people.identity_keys(author)
        return key in keys and generation <= keys.index(key) + 1

    def _names(
        self, members: VerifiedMembers, signed: FolderState | Manifest, generation: int
    ) -> bool:
        author, key = signed.author, signed.author_key
        return any(
            self._people.log.follows(author, key, one)
            for one in members.may_write(author, generation)
        )

    def _note_frozen(
        self,
        folder: NodeId,
        node: NodeId,
        members: VerifiedMembers,
        signed: FolderState | Manifest,
    ) -> None:
        if not isinstance(signed, FolderState):
            return
        if self._names(members, signed, members.body.generation):
            self.frozen.pop(folder, None)
        else:
            since = age(node, members.lost_at(signed.author))
            self.frozen[folder] = since.node, since.what

    def _load(self, nodes: list[NodeId], *, fresh: bool = False) -> None:
        """Ask for lists that are not known, or for all of them again, and verify them."""
        wanted = [node for node in nodes if fresh or node not in self._lists]
        if not wanted:
            return
        mark = self._memory.mark()
        found = {}
        for signed in self._ask.member_lists(wanted):
            node = stated_members(signed).node
            if node not in wanted or node in found:
                raise RemoteProtocolError("The server sent a member list outside the request.")
            found[node] = self.verified_list(signed, node, self.places[node].owner, mark)
        withheld = self._memory.had(wanted, LIST, mark) - found.keys()
        if withheld:
            raise self._withheld(withheld)
        for node in wanted:
            members = found.get(node)
            of_key = self.places[node].keyed.generation
            if members is not None and members.body.generation != of_key:
                raise of_another_age("its member list", members.body.generation, of_key)
            self._lists[node] = members

    def _withheld(self, nodes: Iterable[NodeId]) -> FsError:
        """Return the error for lists that were seen before and are not shown now.

        A person who has just lost the access to a node does not see its list. A server that denies
        the access to the node can show nothing false of it.
        """
        if any(self._ask.may_read(node) for node in nodes):
            return RollbackError(
                "THE SERVER WITHHOLDS the member list of a folder, which it has shown before.",
                hint="Stop and talk to your administrator. If a backup was restored: fsclient "
                "doctor /",
            )
        return ConflictError(
            "A folder or file was removed just now, or is no longer shared with you.",
            hint="Give the same command again.",
        )

    def verified_list(self, signed: Signed, node: NodeId, owner: str, mark: int) -> VerifiedMembers:
        """Verify a member list that the server sent; `RollbackError` for an old one.

        `SignatureError` if an ended key has signed it. Two exceptions: exactly this list was seen
        before; or, in the user's own tree, the key still counts for the list's generation of the
        root.
        """
        members = self.read_list(signed, node, owner)
        self._memory.check(seen_list(members), mark, self._ask.lineages)
        return members

    def read_list(self, signed: Signed, node: NodeId, owner: str) -> VerifiedMembers:
        """Verify a member list as `verified_list` does, but do not compare it with the seen ones.

        The caller compares `seen_list` of it before it is used.
        """
        claimed = stated_members(signed)
        self._people.read_for(self._ask, owner, claimed.owner_key, claimed.log_head)
        if claimed.owner_key not in self._people.identity_keys(owner):
            raise SignatureError("A member list does not have the owner's signature.")
        members = verify_members(signed, node, owner, claimed.owner_key)
        self._people.check_heads(self._ask, [members.body.log_head])
        self._people.check_age(owner, claimed.owner_key, members.body.log_head)
        if claimed.owner_key != self._people.identity_keys(owner)[-1]:
            self._check_ended_list(members, seen_list(members)[0])
        return members

    def _check_ended_list(self, members: VerifiedMembers, seen: Sighting) -> None:
        """Raise for a list by an ended key that this client has not seen.

        A rotation may leave a share out, until its owner's client renews it: `ConflictError`. Where
        no honest owner can have signed the list: `SignatureError`.
        """
        body = members.body
        if self._memory.has(seen):
            return
        way = self.places.way_up(body.node) if body.node in self.places else []
        is_own = way[-1:] == [self._own_root]
        if is_own:
            hangs_on = self.places.generations(way, ever=False)[-1]
            if self._counts_in_own(way[-1], body.owner, body.owner_key, hangs_on):
                return
        newest = self._memory.seen(body.node, LIST)
        if newest is not None and newest.point.version > body.version:
            return  # the caller finds that it is too old, or an ancestor of that one
        keys = self._people.identity_keys(body.owner)
        newer = keys[keys.index(body.owner_key) + 1 :]
        if (
            is_own
            or any(self._memory.has(list_signer(body.node, key)) for key in newer)
            or self._people.knew_end(body.owner, body.owner_key, body.log_head)
        ):
            raise signed_by_ended_key(body.owner)
        raise not_renewed(body.owner)

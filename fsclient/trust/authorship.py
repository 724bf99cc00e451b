"""Whose signature counts where: owners, and the writers whom owners name in signed lists.

Every folder that is opened is entered here with the folder it lies in. What somebody else than the
owner has signed counts if a list on the way from the folder up to the top names them as a writer,
under the generation of the listed node's key that the way down from it hangs on: a writer who was
removed is a writer of the generations before, and of nothing that was made since.

    top (generation 3, list) ── a (its link was sealed under 3) ── folder
        former writer until 2: what hangs on generation 3 cannot be theirs

A key of the owner that the key log has ended counts like a former writer. The owner's next list
names it, with the last generation under which it counts. In the owner's own tree no list is needed:
every rotation gives the root its next key, so the n-th key counts for what hangs on the root's
generations up to n.

A way that still hangs on an older generation is due for new keys, and until it has them a removed
writer's signature fits there. So what was seen there once, with the list that removed them known,
must not change by their hand any more (`SeenVersions`, frozen).
"""

from __future__ import annotations

from collections.abc import Iterable

from fsclient.trust.audience import Audience
from fsclient.trust.key_directory import KeyDirectory
from fsclient.trust.places import Places
from fsclient.trust.questions import Questions
from fsclient.trust.seen import SeenVersions
from fsclient.trust.sightings import LIST, Sighting, Since, age, key_end
from fsproto.errors import (
    ConflictError,
    RemoteProtocolError,
    RollbackError,
    SignatureError,
)
from fsproto.keys.member_list import VerifiedMembers, stated_members, verify_members
from fsproto.keys.tree import KeyedNode
from fsproto.names import for_terminal
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, VerifiedState, verify_state
from fsproto.sealed.manifest import Manifest, VerifiedManifest, check_author
from fsproto.signed import Signed, Verifier
from fsproto.types import NO_NODE, Hash, NodeId


class AuthorRules:
    """Decides whose signatures count where."""

    def __init__(self, ask: Questions, people: KeyDirectory, memory: SeenVersions) -> None:
        self._ask = ask
        self._people = people
        self._memory = memory
        self.places = Places()
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
        """Verify a folder's state by whoever signed it; `SignatureError` if they must not.

        `ConflictError` for a folder that was found in two places: who may write to one of them
        need not be somebody who may write to the other.
        """
        if self.places.is_torn(folder.node):
            raise ConflictError(
                "A folder was found in two places: it may have been moved just now.",
                hint="Give the same command again.",
            )
        claimed = unpack(signed.payload, FolderState)
        if self._is_owners(folder.node, claimed):
            self.frozen.pop(folder.node, None)
        else:
            self._check_writer(folder.node, claimed, ever=False)
        ended = self._people.log.ended(claimed.author, claimed.author_key)
        if ended is not None:
            since = key_end(ended)
            self._memory.remember([since])  # unless it is known already
            self.frozen[folder.node] = since.node, since.what
        state = verify_state(signed, folder.node, claimed.author, claimed.author_key)
        if state.body.generation != folder.generation:
            raise RollbackError(
                "A folder's state and its key are not of the same age.",
                hint="It may have taken a new key at this very moment; try again.",
            )
        return state

    def prepare(self, folder: NodeId, manifests: Iterable[VerifiedManifest]) -> None:
        """Ask for the lists that name the possible authors of the entries of a folder."""
        owner = self.places[folder].owner
        if any(manifest.body.author != owner for manifest in manifests):
            self._load(self.places.way_up(folder))

    def check_manifest(self, manifest: VerifiedManifest) -> None:
        """Check the own signature of something that lies in an entered folder, or is a top."""
        if manifest.hash in self._older:
            return
        body = manifest.body
        folder = self._place_of(body)
        # A folder's state vouches that it belongs there now: whenever it was signed, its author
        # need only have been a writer at some time. Nothing vouches for a top.
        is_top = folder == body.node
        owners = self._is_owners if is_top else self._was_owners
        if not owners(folder, body):
            self._check_writer(folder, body, ever=not is_top)
        self._check_signature(manifest)

    def check_older(self, manifest: VerifiedManifest, now: VerifiedManifest) -> bool:
        """Check the own signature of an older version, for which the newest (`now`) vouches.

        Raises `SignatureError` if its author could not write where it lay then. False if nobody
        can tell: it lay in a folder that is not on the way to where it lies now.
        """
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
            raise _nobody()
        return False

    def former_state(self, signed: Signed, folder: KeyedNode) -> VerifiedState:
        """Verify a state that a folder once had; `SignatureError` if no writer of it signed it."""
        claimed = unpack(signed.payload, FolderState)
        if not self._was_owners(folder.node, claimed):
            self._check_writer(folder.node, claimed, ever=True)
        return verify_state(signed, folder.node, claimed.author, claimed.author_key)

    def list_of(self, node: NodeId) -> VerifiedMembers | None:
        """Return the member list of an entered node, as it is now; None if it has none."""
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

    def _place_of(self, body: Manifest) -> NodeId:
        """Return the node whose lists name the possible authors: its folder, or a top itself."""
        return body.node if body.node in self.places.tops else body.parent

    def _is_owners(self, node: NodeId, signed: FolderState | Manifest) -> bool:
        """Return whether something is said to be signed by the owner, with the newest key."""
        owner = self.places[node].owner
        return signed.author == owner and signed.author_key == self._people.identity_keys(owner)[-1]

    def _was_owners(self, node: NodeId, signed: FolderState | Manifest) -> bool:
        """Return whether something is said to be signed by the owner, with a key of any time."""
        owner = self.places[node].owner
        return signed.author == owner and signed.author_key in self._people.identity_keys(owner)

    def _check_signature(self, manifest: VerifiedManifest) -> None:
        """Verify who signed it, whoever that may be."""
        body = manifest.body
        key = self._verifiers.setdefault(body.author_key, Verifier(body.author_key))
        check_author(manifest, body.author, key)

    def _check_writer(self, folder: NodeId, signed: FolderState | Manifest, *, ever: bool) -> None:
        """Raise unless a list on the way up names who signed; `ever`: at whatever time."""
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
        raise _nobody()

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
                raise RemoteProtocolError("The server sent a member list that was not asked for.")
            found[node] = self.verified_list(signed, node, self.places[node].owner, mark)
        if self._memory.had(wanted, LIST, mark) - found.keys():
            raise RollbackError(
                "THE SERVER WITHHOLDS whom a folder is shared with, which it has told before.",
                hint="Stop and talk to your administrator: this does not happen by accident.",
            )
        for node in wanted:
            members = found.get(node)
            if members is not None and members.body.generation != self.places[node].generation:
                raise RollbackError(
                    "The list of who may write to a folder is older or newer than its key.",
                    hint="It may have taken a new key at this very moment; try again.",
                )
            self._lists[node] = members

    def verified_list(self, signed: Signed, node: NodeId, owner: str, mark: int) -> VerifiedMembers:
        """Verify a member list that the server sent; `RollbackError` for an old one.

        `SignatureError` if a key has signed it that has ended, unless exactly this list was seen
        before; in the user's own tree, also if it hangs on a key of the root from that time.
        """
        claimed = stated_members(signed)
        if claimed.owner_key not in self._people.identity_keys(owner):
            raise SignatureError("A member list was signed by a person who is not the owner.")
        members = verify_members(signed, node, owner, claimed.owner_key)
        self._people.check_heads(self._ask, [members.body.log_head])
        seen = seen_list(members)
        if claimed.owner_key != self._people.identity_keys(owner)[-1]:
            self._check_ended_list(members, seen[0])
        self._memory.check(seen, mark, self._ask.lineages)
        return members

    def _check_ended_list(self, members: VerifiedMembers, seen: Sighting) -> None:
        """Raise `SignatureError` for a list by an ended key that may have been signed since."""
        body = members.body
        if self._memory.has(seen):
            return
        if body.node in self.places:
            way = self.places.way_up(body.node)
            hangs_on = self.places.generations(way, ever=False)[-1]
            if self._counts_in_own(way[-1], body.owner, body.owner_key, hangs_on):
                return
        raise SignatureError(
            f"A member list of {for_terminal(body.owner)} is signed with a key that was replaced.",
            hint=f"If {for_terminal(body.owner)} has replaced the keys just now, try again; if "
            f"this stays, {for_terminal(body.owner)} should run 'fsclient shares'.",
        )


def seen_list(members: VerifiedMembers) -> list[Sighting]:
    """Return what the memory keeps of a member list: itself, and each generation it has come to."""
    body = members.body
    ages = [age(body.node, generation) for generation in range(2, body.generation + 1)]
    seen = Sighting(body.node, LIST, members.point, NO_NODE, body.owner, body.time_ms)
    return [seen, *ages]


def _nobody() -> SignatureError:
    return SignatureError(
        "A folder or file was signed by a person who may not write there.",
        hint="Stop and talk to the owner: an honest server would not have taken it.",
    )

"""The nodes that other users share with the user, under the names of their owners.

`alice:` is not a signed folder, but the list of Alice's shares; nothing can be put into it. Alice
has sealed and signed each node in it for its readers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from fsclient.connection.parts import items_of
from fsclient.tree.contents import SHOWN_DIGITS, FolderContents, RefusedShare
from fsclient.tree.context import TreeContext
from fsclient.tree.nodes import TreeNode, seen_manifest
from fskit.text import size_text
from fsproto.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    RemoteProtocolError,
    SecurityError,
)
from fsproto.keys.member_list import VerifiedMembers, stated_members
from fsproto.keys.tree import KeyedNode
from fsproto.limits import MAX_SHARES, MAX_SHARES_BYTES
from fsproto.messages.shares import GetShares, Share, Shares
from fsproto.names import RemotePath, clean_name, for_terminal
from fsproto.proofs.lineage import NO_LINEAGE
from fsproto.sealed import manifest as manifests
from fsproto.sealed.manifest import (
    Manifest,
    Metadata,
    Mode,
    NodeKind,
    VerifiedManifest,
    open_metadata,
    unproved_manifest,
)
from fsproto.signed import Signed
from fsproto.types import NO_HASH, NO_NODE, NO_TOKEN, NodeKey

_NO_KEY = KeyedNode(NO_NODE, 1, NodeKey(bytes(32)))

_TRIED_OF_ONE = 20
"""Shares of an owner that are tried; if none of them opens, the owner is not listed."""


class SharedWithMe:
    """Looks up the shares of other users."""

    def __init__(self, context: TreeContext) -> None:
        self._context = context
        self._tops: dict[str, FolderContents] = {}
        self._owners: list[str] | None = None

    def head(self, owner: str) -> TreeNode:
        """Return the node that lists all shares of a user; `NotFoundError` if there are none."""
        if self.entries(owner).is_empty:
            raise NotFoundError(
                f"'{for_terminal(owner)}' shares nothing with you.",
                hint="'fsclient shares' lists what is shared with you.",
            )
        return TreeNode(
            RemotePath(owner, (), names_folder=True), _NO_KEY, _heading(owner), _NAMELESS
        )

    def entries(self, owner: str) -> FolderContents:
        """Return the shares of a user, by name; a share that does not verify is refused alone."""
        found = self._tops.get(owner)
        if found is None:
            found = self._tops[owner] = self._found(owner)
        return found

    def forget(self) -> None:
        """Forget the answers, so that the server is asked again."""
        self._tops.clear()
        self._owners = None

    def owners(self) -> list[str]:
        """Return the names of the users who share something that this user can open, sorted."""
        if self._owners is None:
            found: set[str] = set()
            for share, mark in self._ask("", _TRIED_OF_ONE):
                if share.owner in found:
                    continue  # one valid share is enough, however many there are
                one = self._opened(share, mark)
                if not isinstance(one, RefusedShare) and one[1] is not None:
                    found.add(share.owner)
            self._owners = sorted(found)
        return self._owners

    def everything(
        self, most: int | None = None
    ) -> tuple[list[tuple[VerifiedMembers, TreeNode | None] | RefusedShare], list[str]]:
        """Return all shares with this user; None for a share sealed to keys that the user has lost.

        Only `most` shares of each owner are requested (None: all); the second value names the
        owners who share more, sorted. A refused share does not affect the others, because every
        user can share anything with every other.
        """
        opened, seen = [], Counter[str]()
        for share, mark in self._ask_to_keep("", 0 if most is None else most + 1):
            seen[share.owner] += 1
            if most is None or seen[share.owner] <= most:
                opened.append(self._opened(share, mark))
        more = [owner for owner, count in seen.items() if most is not None and count > most]
        return opened, sorted(more)

    def _opened(
        self, share: Share, mark: int
    ) -> tuple[VerifiedMembers, TreeNode | None] | RefusedShare:
        try:
            members = self._members(share, mark)
            return members, self._top(share, members, mark)
        except (SecurityError, NotFoundError) as error:
            if not self._context.connection.usable:
                raise
            # Such a share is a fault of its owner, not of the server.
            return RefusedShare(share.owner, SecurityError(error.sentence, hint=error.hint))
        except ConflictError as error:  # for example, its owner has yet to renew it
            return RefusedShare(share.owner, error)

    def _found(self, owner: str) -> FolderContents:
        tops: list[TreeNode] = []
        refused: list[RefusedShare] = []
        for share, mark in self._ask_to_keep(owner):
            if share.owner != owner:
                raise RemoteProtocolError(
                    "The server sent a share that the client did not request."
                )
            one = self._opened(share, mark)
            if isinstance(one, RefusedShare):
                refused.append(one)
            elif one[1] is not None:
                tops.append(one[1])
        tops.sort(key=lambda top: (top.metadata.name, top.keyed.node))
        taken: set[str] = set()
        for at, top in enumerate(tops):
            name = top.metadata.name
            if name in taken:  # two shares of one name: the second gets a suffix
                name = f"{name}~{top.keyed.node.hex()[:8]}"
            taken.add(name)
            tops[at] = replace(top, path=RemotePath(owner, (clean_name(name),)))
        return FolderContents(tops, refused)

    def _ask(self, owner: str, most: int = 0) -> Iterator[tuple[Share, int]]:
        self._context.catch_up()
        mark = self._context.memory.mark()
        connection, asked = self._context.connection, GetShares(owner, most)
        for share in items_of(connection, asked, Shares, lambda part: part.shares, MAX_SHARES):
            yield share, mark

    def _ask_to_keep(self, owner: str, most: int = 0) -> Iterator[tuple[Share, int]]:
        """As `_ask`, where all shares are kept: raise if they are too long together."""
        sizes = Counter[str]()
        for share, mark in self._ask(owner, most):
            signed = len(share.members.payload) + len(share.manifest.payload)
            sizes[share.owner] += signed + len(share.sealed)
            if sizes.total() > MAX_SHARES_BYTES:
                largest = for_terminal(sizes.most_common(1)[0][0])
                raise RemoteProtocolError(
                    f"What others share with you takes more than {size_text(MAX_SHARES_BYTES)}, "
                    f"most of it what {largest} shares.",
                    hint=f"'fsclient block {largest}' refuses that.",
                )
            yield share, mark

    def _members(self, share: Share, mark: int) -> VerifiedMembers:
        node = stated_members(share.members).node
        return self._context.authors.verified_list(share.members, node, share.owner, mark)

    def _top(self, share: Share, members: VerifiedMembers, mark: int) -> TreeNode | None:
        """Open one share; None if it was sealed to keys that the user has lost."""
        me = self._context.identity
        member = members.member(me.user)
        if member is None:
            raise IntegrityError("The server sent a share whose owner does not name you.")
        if member.bundle not in [one.bundle.hash for one in (me, *me.former)]:
            return None
        keyed = members.open(share.sealed, me)
        manifest = unproved_manifest(share.manifest)
        body = manifest.body
        if (body.node, body.generation) != (keyed.node, keyed.generation):
            raise IntegrityError("The server sent another folder or file than the one shared.")
        self._context.authors.register_top(keyed, share.owner, members)
        self._context.authors.check_manifest(manifest)
        self._context.check_heads([body.log_head])
        self._context.check_seen([seen_manifest(manifest)], mark)
        try:
            keyed = keyed.with_former(body)
            metadata = open_metadata(keyed.metadata_key, body)
        except (IntegrityError, RemoteProtocolError) as error:
            owner, author = for_terminal(share.owner), for_terminal(body.author)
            raise IntegrityError(
                f"The share {body.node.hex()[:SHOWN_DIGITS]} of {owner}, signed by {author}, does "
                f"not verify: {error.sentence}",
                hint=f"Ask {owner} to remove or restore it.",
            ) from None
        path = RemotePath(share.owner, (metadata.name,))
        return TreeNode(path, keyed, manifest, metadata)


_NAMELESS = Metadata("", 0, 0, Mode.REGULAR, file_key=None)


def _heading(owner: str) -> VerifiedManifest:
    """Return a placeholder for the manifest of a node that does not exist; it is not signed."""
    body = Manifest(
        format=manifests.FORMAT,
        node=NO_NODE,
        parent=NO_NODE,
        kind=NodeKind.FOLDER,
        version=1,
        lineage=NO_LINEAGE,
        token=NO_TOKEN,
        link=b"",
        link_generation=0,
        generation=1,
        names_since=1,
        former=b"",
        key_commitment=NO_HASH,
        former_commitment=NO_HASH,
        metadata=b"",
        content=None,
        author=owner,
        author_key=b"",
        time_ms=0,
        log_head=b"",
    )
    return VerifiedManifest(body, NO_HASH, Signed(b"", b""))

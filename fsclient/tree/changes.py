"""A set of changes to folders: described once, and signed on top of any state of the folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from fsclient.tree.contents import RefusedEntry
from fsclient.tree.draft import Draft, NextVersion
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import (
    ConflictError,
    ExistsError,
    NotAllowedError,
)
from fsproto.keys.tree import KeyedNode, new_node
from fsproto.messages.files import InlineBlob
from fsproto.messages.shares import NewMembers
from fsproto.names import check_new_name
from fsproto.proofs.prefix_tree import FolderEntry
from fsproto.sealed.manifest import Metadata, Mode, VerifiedManifest, renamed
from fsproto.types import NO_NODE, Hash, NodeId, Token

_MANIFEST_BYTES = 1400
"""Upper estimate of the bytes that a manifest and its removal take in a commit."""

_Step = Callable[[Draft], None]


class Turn(NamedTuple):
    """A file that moves to a name which another file leaves in the same change."""

    found: TreeNode
    source: KeyedNode
    """Its folder."""
    target: KeyedNode
    """Its new folder."""
    name: str
    renew: bool
    """Whether it takes a new key, because fewer people may see it there."""


class ChangeSet:
    """Changes to one tree that are made together.

    Each change is a step that checks the present folders and adds its part to a `Draft`; a step
    can run again on newer folders.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folders: dict[NodeId, tuple[KeyedNode, list[Token]]] = {}
        """The folders that change, with their present keys and the tokens to look up."""
        self._renewed: set[NodeId] = set()
        """The changed folders that take a new key."""
        self._lists: list[Callable[[], NewMembers]] = []
        self.above: dict[NodeId, NodeId] = {}
        """The new folders, each with its parent folder."""
        self._steps: list[_Step] = []
        self._blobs: list[InlineBlob] = []
        self.size = 0
        """Estimated bytes of the commit so far."""

    def __len__(self) -> int:
        return len(self._steps) + len(self._lists)

    def make_folder(
        self, parent: KeyedNode, name: str, mtime_ns: int, instead: TreeNode | None = None
    ) -> KeyedNode:
        """Make a new folder; return it, for the entries that are put into it.

        It replaces a file only if this is the one given as `instead`.
        """
        check_new_name(name)
        child = new_node(os.urandom)
        tokens = self._touch(parent, name)
        metadata = Metadata(name, 0, mtime_ns, Mode.REGULAR, file_key=None)
        self._folders[child.node] = child, []
        self.above[child.node] = parent.node

        def step(draft: Draft) -> None:
            if _known(draft.entry(parent, tokens)) != _known(instead):
                raise ExistsError(f"'{name}' was created by another person in the meantime.")
            draft.place(parent, tokens, NextVersion(child, None, metadata, None))

        self._steps.append(step)
        return child

    def makes(self, node: NodeId) -> bool:
        """Return whether this set of changes creates a folder."""
        return node in self.above

    def put_file(
        self,
        parent: KeyedNode,
        file: NextVersion,
        inline: InlineBlob | None,
        instead: TreeNode | None = None,
    ) -> None:
        """Put a file, in place of its earlier version if there is one.

        Anything else of that name, such as a folder, is replaced only if it was passed as
        `instead`.
        """
        before, name = file.before, file.metadata.name
        if before is None:
            check_new_name(name)
        if file.content is None:  # a folder
            self._renew(file.node.node)
        tokens = self._touch(parent, name)
        if inline is not None:
            self._blobs.append(inline)
            self.size += len(inline.data) + 64

        def step(draft: Draft) -> None:
            if _known(draft.entry(parent, tokens)) != (_known(instead) or _known(before)):
                raise ConflictError(
                    f"'{name}' was changed by another person in the meantime; yours was not put.",
                    hint="Look at the other version, then put yours again.",
                )
            draft.place(parent, tokens, file)

        self._steps.append(step)

    def describe(self, parent: KeyedNode, found: TreeNode, metadata: Metadata) -> None:
        """Give a file or folder new metadata; name and content stay."""
        before = found.manifest
        next_version = NextVersion(found.keyed, before, metadata, before.body.content)
        self.put_file(parent, next_version, None)

    def remove(self, parent: KeyedNode, found: TreeNode) -> None:
        """Remove a file, or a folder with everything in it."""
        tokens = self._touch(parent, found.metadata.name)

        def step(draft: Draft) -> None:
            draft.take_out(parent, tokens, found)

        self._steps.append(step)

    def remove_refused(self, refused: RefusedEntry) -> None:
        """Remove an entry that does not verify, with everything in it."""
        parent, entry = refused.folder.keyed, refused.entry
        self._touch_tokens(parent, lambda _: [entry.token])

        def step(draft: Draft) -> None:
            draft.take_out_entry(
                parent, entry, f"The entry {refused.id} of '{refused.folder.path}'"
            )

        self._steps.append(step)

    def move(
        self,
        found: TreeNode,
        source: KeyedNode,
        target: KeyedNode,
        name: str,
        replaced: TreeNode | None,
        *,
        renew: bool = False,
    ) -> None:
        """Move a file or folder to another folder, another name, or both.

        It takes a new key with `renew`, or if it is due.
        """
        if name != found.metadata.name:
            check_new_name(name)
        renew = renew or found.is_due_on_path
        if renew and found.is_folder:
            self._draw_key(found)
        old, new = self._touch(source, found.metadata.name), self._touch(target, name)
        before, metadata = found.manifest, renamed(found.metadata, name)

        def step(draft: Draft) -> None:
            draft.take_out(source, old, found)
            entry = draft.entry(target, new)
            if (entry and entry.node) != (replaced and replaced.keyed.node):
                raise ExistsError(f"There is a '{name}' already.")
            moved = NextVersion(found.keyed, before, metadata, before.body.content, renew)
            draft.place(target, new, moved)

        self._steps.append(step)

    def move_round(self, ring: list[Turn]) -> None:
        """Move files to names that become free in the same change."""
        turns = [(turn, self._touch(turn.source, turn.found.metadata.name)) for turn in ring]
        new = [self._touch(turn.target, turn.name) for turn in ring]

        def step(draft: Draft) -> None:
            for turn, old in turns:
                draft.take_out(turn.source, old, turn.found)
            for turn, tokens in zip(ring, new, strict=True):
                if draft.entry(turn.target, tokens) is not None:
                    raise ExistsError(f"There is a '{turn.name}' already.")
                found = turn.found
                metadata, content = renamed(found.metadata, turn.name), found.manifest.body.content
                renew = turn.renew or found.is_due_on_path
                moved = NextVersion(found.keyed, found.manifest, metadata, content, renew)
                draft.place(turn.target, tokens, moved)

        self._steps.append(step)

    def bring_back(self, found: TreeNode, target: KeyedNode, what: NextVersion) -> None:
        """Restore a removed file or folder to a place; `ExistsError` if the name is taken."""
        if what.renew and found.is_folder:
            self._draw_key(found)
        name = what.metadata.name
        tokens = self._touch(target, name)

        def step(draft: Draft) -> None:
            if draft.entry(target, tokens) is not None:
                raise ExistsError(f"There is a '{name}' already.")
            draft.place(target, tokens, what)

        self._steps.append(step)

    def renew(self, found: TreeNode) -> None:
        """Give a file or folder a new key; the content of a folder is then due for new keys."""
        above = found.above
        if above is None:
            raise NotAllowedError(f"'{found.path}' takes its key from its owner alone.")
        if found.is_folder:
            self._draw_key(found)
        tokens = self._touch(above.keyed, found.metadata.name)
        before = found.manifest
        what = NextVersion(found.keyed, before, found.metadata, before.body.content, renew=True)

        def step(draft: Draft) -> None:
            if _known(draft.entry(above.keyed, tokens)) != _known(found):
                raise ConflictError(
                    f"'{found.path}' was changed by another person in the meantime; try again."
                )
            draft.place(above.keyed, tokens, what)

        self._steps.append(step)

    def renew_root(self) -> KeyedNode:
        """Give the root of the tree its next key, and return it with that key.

        Only a key rotation grants it. Call this before the other changes.
        """
        self._draw_key(self._tree.root)
        return self._tree.context.pending_keys.current(self._tree.root.keyed)

    def set_members(self, make: Callable[[], NewMembers]) -> None:
        """Give a node the member list that `make` signs when the commit is signed."""
        self._lists.append(make)

    def _touch(self, folder: KeyedNode, name: str) -> list[Token]:
        if folder.node == NO_NODE:
            raise NotAllowedError(
                "Only the owner can add something next to the shared folders.",
                hint="Put it into one of the shared folders, if you may write there.",
            )
        return self._touch_tokens(folder, lambda now: now.tokens(name))

    def _touch_tokens(
        self, folder: KeyedNode, tokens_of: Callable[[KeyedNode], list[Token]]
    ) -> list[Token]:
        self._renew(folder.node)
        folder = self._tree.context.pending_keys.current(folder)
        tokens = tokens_of(folder)
        self._folders.setdefault(folder.node, (folder, []))[1].extend(tokens)
        self.size += _MANIFEST_BYTES
        return tokens

    def _renew(self, node: NodeId) -> None:
        """Give a due folder its new key, after its due parent folders."""
        due = self._tree.context.pending_keys.pending(node)
        if due is not None:
            self.renew(due)

    def _draw_key(self, folder: TreeNode) -> None:
        node = folder.keyed.node
        self._folders.setdefault(node, (self._tree.context.pending_keys.current(folder.keyed), []))
        self._tree.context.pending_keys.renew(folder.keyed)
        self._renewed.add(node)


def _known(what: FolderEntry | VerifiedManifest | TreeNode | None) -> tuple[NodeId, Hash] | None:
    """Return the node and the version that an entry must name to be this one."""
    match what:
        case FolderEntry():
            return what.node, what.manifest
        case TreeNode():
            return what.keyed.node, what.manifest.hash
        case VerifiedManifest():
            return what.body.node, what.hash
    return None

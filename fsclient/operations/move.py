"""Moving within a tree: the allowed targets, and new keys when members lose access."""

from __future__ import annotations

from fsclient.session.session import Session
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode, must_be_folder
from fsclient.tree.tree import Tree
from fsclient.ui import Ui
from fsproto.errors import NotAllowedError
from fsproto.names import RemotePath
from fsproto.types import NO_NODE


def target_of(tree: Tree, target: RemotePath, *, several: bool) -> tuple[TreeNode, str]:
    """Return the target folder, and the new name there; an empty name keeps the old one."""
    reached = tree.reach(target)[-1]
    there = len(reached.path.parts) == len(target.parts)
    into = several or target.names_folder or (there and reached.is_folder)
    folder = tree.find(target if into else target.parent)
    return must_be_folder(folder), "" if into else target.name


def check_movable(found: TreeNode, folder: TreeNode) -> None:
    """Raise `NotAllowedError` unless a node can be moved into a folder."""
    if not found.path.parts:
        raise NotAllowedError("The top of your tree cannot be moved.")
    if found.path.owner != folder.path.owner:
        raise NotAllowedError(
            "Nothing can be moved from one person's tree to another's.",
            hint="Get it and put it there.",
        )
    if found.above is None:
        raise NotAllowedError(f"'{found.path}' is shared with you; only its owner can move it.")
    if folder.keyed.node == NO_NODE:
        raise NotAllowedError(
            "Only the owner can add something next to the shared folders.",
            hint="Move it into one of the shared folders, if you may write there.",
        )
    parts = found.path.parts
    if found.is_folder and folder.path.parts[: len(parts)] == parts:
        raise NotAllowedError(f"'{found.path}' cannot be moved into itself.")


def move(
    session: Session,
    ui: Ui,
    found: TreeNode,
    *,
    folder: TreeNode,
    name: str,
    replaced: TreeNode | None,
) -> None:
    """Move a file or folder, and replace `replaced`; give a new key if anyone loses access to it.

    The caller must call `check_movable` first.
    """
    tree, above = session.tree, found.above
    if above is None:
        raise RuntimeError("check_movable comes first")
    changes, authors = Committer(tree), tree.context.authors
    before, after = authors.audience(above.keyed.node), authors.audience(folder.keyed.node)
    renew, mine = before.loses(after), found.path.owner is None
    if not mine and found.is_folder and before.writers - after.writers:
        raise NotAllowedError(
            f"The move would take '{found.path}' away from other writers: only its owner can do "
            "that.",
            hint="Get it, and put a copy there.",
        )
    changes.move(found, above.keyed, folder.keyed, name, replaced, renew=renew)
    if not mine or before.lists == after.lists:
        changes.commit()
        return
    from fsclient.sharing.share import Sharing

    sharing = Sharing(session, ui)
    sharing.follow(found, folder, name, changes, renew=renew)
    changes.commit()
    sharing.settle()

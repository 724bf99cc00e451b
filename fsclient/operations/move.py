"""Moving within a tree: the allowed targets, new keys, and member lists."""

from __future__ import annotations

from fsclient.session.session import Session
from fsclient.tree.commit import Committer
from fsclient.tree.moved_keys import has_shares, takes_new_key
from fsclient.tree.nodes import TreeNode, must_be_folder
from fsclient.tree.tree import Tree
from fsclient.trust.audience import Audience
from fsclient.ui import Ui
from fsproto.errors import ConflictError, NotAllowedError, NotFoundError
from fsproto.keys.tree import KeyedNode
from fsproto.names import RemotePath
from fsproto.types import NO_NODE, NodeId


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
    """Move a file or folder, and replace `replaced`; give it a new key in another folder.

    The caller must call `check_movable` first.
    """
    tree, above = session.tree, found.above
    if above is None:
        raise RuntimeError("check_movable comes first")
    source, target = above.keyed, folder.keyed
    changes, before, after = Committer(tree), *_audiences(tree, source.node, target.node)
    loses, mine = before.loses(after), found.path.owner is None
    if not mine and found.is_folder and before.writers - after.writers:
        raise NotAllowedError(
            f"The move would take '{found.path}' away from other writers: only its owner can do "
            "that.",
            hint="Get it, and put a copy there.",
        )
    renew = loses or takes_new_key(tree, found, source, target)
    changes.move(found, source, target, name, replaced, renew=renew)
    if not mine:
        changes.commit()
        return
    if before.lists == after.lists and not (renew and has_shares(tree, found)):
        changes.commit()
    else:
        from fsclient.sharing.share import Sharing

        sharing = Sharing(session, ui)
        sharing.follow(found, folder, name, changes, renew=renew)
        changes.commit()
        sharing.settle()
    if source.node != target.node and _has_changed(tree, (source, target), (before, after)):
        _follow_again(session, ui, found, folder.path.child(name))


def _audiences(tree: Tree, source: NodeId, target: NodeId) -> tuple[Audience, Audience]:
    authors = tree.context.authors
    return authors.audience(source), authors.audience(target)


def _has_changed(
    tree: Tree, folders: tuple[KeyedNode, KeyedNode], seen: tuple[Audience, Audience]
) -> bool:
    """Return whether one of two folders may be shared with others than before a move.

    Another device of the owner may share the former folder or the new one at the same time, and
    neither command sees the other one's change before its own. Of the two, the later one finds
    both when it looks again.
    """
    source, target = folders
    try:
        return _audiences(tree, source.node, target.node) != seen
    except (ConflictError, NotFoundError):
        return True  # one of them has taken a new key, was moved or removed


def _follow_again(session: Session, ui: Ui, found: TreeNode, path: RemotePath) -> None:
    """Bring lists and keys up to date after a move; `found` is the node at its former place."""
    from fsclient.sharing.share import Sharing

    sharing = Sharing(session, ui)
    try:
        sharing.follow_again(found, session.tree.find(path))
    except NotFoundError:
        return  # it was moved on, or removed, by a command that has seen the change
    except ConflictError as error:
        ui.warn(f"'{path}' was moved; 'fsclient shares' brings its members up to date: {error}")
        return
    sharing.settle()

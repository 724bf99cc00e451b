"""Moving within a tree: the allowed targets, and new keys when members lose access."""

from __future__ import annotations

from fsclient.session.session import Session
from fsclient.tree.commit import Committer
from fsclient.tree.nodes import TreeNode
from fsclient.ui import Ui
from fsproto.errors import NotAllowedError


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
            f"Others may write where '{found.path}' lies and not where it would: only its "
            "owner can move it there.",
            hint="Get it and put it there.",
        )
    changes.move(found, above.keyed, folder.keyed, name, replaced, renew=renew)
    if mine and before.lists != after.lists:
        from fsclient.sharing.share import Sharing

        Sharing(session, ui).follow(found, folder, name, changes, renew=renew)
    changes.commit()

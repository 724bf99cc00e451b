"""Many nodes at once, each by the tokens of the names that lead to it."""

from __future__ import annotations

from collections.abc import Sequence

from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import (
    ConflictError,
    FsError,
    IntegrityError,
    NotFoundError,
    RollbackError,
    SecurityError,
)
from fsproto.limits import MAX_PATH_PARTS
from fsproto.types import NodeId, Token

_AT_ONCE = 200
"""Tokens in one request: a message holds the manifests of so many ordinary entries."""

_Tokens = dict[Token, list[int]]
"""For each token the ways that it is on, by their numbers."""


def found_at(tree: Tree, ways: Sequence[Sequence[Token]]) -> list[TreeNode | FsError]:
    """Return the node at the end of each way from the root, or why there is none.

    Each folder on the ways is asked for a group of entries, not for each by itself. An entry that
    does not verify is the error of the ways through it, and of no other. Raises `RollbackError`.
    """
    found: list[TreeNode | FsError] = [tree.root for _ in ways]
    for at, way in enumerate(ways):
        if len(way) > MAX_PATH_PARTS:
            found[at] = IntegrityError(f"It is deeper than {MAX_PATH_PARTS} folders.")
    for level in range(MAX_PATH_PARTS):
        asked: dict[NodeId, tuple[TreeNode, _Tokens]] = {}
        for at, way in enumerate(ways):
            here = found[at]
            if isinstance(here, FsError) or level >= len(way):
                continue
            if not here.is_folder:
                found[at] = _nothing_in(here)
                continue
            _, tokens = asked.setdefault(here.keyed.node, (here, {}))
            tokens.setdefault(way[level], []).append(at)
        if not asked:
            break
        for folder, tokens in asked.values():
            for token, one in _entries(tree, folder, list(tokens)).items():
                for at in tokens[token]:
                    found[at] = one
    return found


def _entries(tree: Tree, folder: TreeNode, tokens: list[Token]) -> dict[Token, TreeNode | FsError]:
    """Return the entries of a folder under some tokens, or why there is none."""
    found: dict[Token, TreeNode | FsError] = {}
    for first in range(0, len(tokens), _AT_ONCE):
        some = tokens[first : first + _AT_ONCE]
        try:
            for token, one in tree.steps(folder, some).items():
                found[token] = _nothing_in(folder) if one is None else one
        except RollbackError:
            raise
        except (SecurityError, ConflictError, NotFoundError):
            if not tree.context.connection.usable:
                raise
            for token in some:  # one of them may be the reason, or all together are too long
                found[token] = _entry(tree, folder, token)
    return found


def _entry(tree: Tree, folder: TreeNode, token: Token) -> TreeNode | FsError:
    try:
        one = tree.step(folder, token)
        return _nothing_in(folder) if one is None else one
    except RollbackError:
        raise
    except (SecurityError, ConflictError, NotFoundError) as error:
        if not tree.context.connection.usable:
            raise
        return error


def _nothing_in(folder: TreeNode) -> IntegrityError:
    return IntegrityError(f"Nothing is at that place in '{folder.path}'.")

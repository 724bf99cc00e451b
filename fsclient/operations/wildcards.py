"""Remote paths with wildcards.

`*` and `?` stand for any characters and for one, `[a-z]` for one of some, `**` for any folders on
the way. As in a shell, none of them matches a name that starts with a dot, unless the pattern has
the dot. A path that exists with just these characters is this path alone.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from fsclient.operations.walk import listed
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fsclient.tree.tree import Tree
from fsproto.errors import FsError, NotFoundError
from fsproto.names import RemotePath
from fsproto.types import NodeId

_ANY_FOLDERS = "**"
_MAGIC = re.compile(r"[*?[]")


def has_wildcards(path: RemotePath) -> bool:
    """Return whether a path may stand for several."""
    return any(map(_MAGIC.search, path.parts))


class Places:
    """A set of paths; a user's own tree is one, with and without the user's name."""

    def __init__(self, tree: Tree) -> None:
        self._user = tree.context.identity.user
        self._known: set[tuple[str | None, tuple[str, ...]]] = set()

    def add(self, path: RemotePath) -> None:
        """Add a path."""
        self._known.add((self._owner(path), path.parts))

    def have(self, path: RemotePath) -> bool:
        """Return whether a path, or a folder above it, was added."""
        owner = self._owner(path)
        ends = range(len(path.parts) + 1)
        return any((owner, path.parts[:end]) in self._known for end in ends)

    def _owner(self, path: RemotePath) -> str | None:
        return None if path.owner == self._user else path.owner


def expanded(tree: Tree, paths: Iterable[RemotePath], failures: Failures) -> list[RemotePath]:
    """Return the paths with each pattern replaced by what it matches, sorted, none twice.

    Raises `NotFoundError` for a pattern that matches nothing. An entry that does not verify is
    noted as a failure.
    """
    found: dict[RemotePath, None] = {}
    for path in paths:
        found |= dict.fromkeys(_expanded(tree, path, failures))
    return list(found)


def found_at(tree: Tree, paths: Sequence[RemotePath], failures: Failures) -> list[TreeNode]:
    """Return the nodes at some paths and at what their patterns match, none twice.

    A path that does not exist or does not verify is noted as a failure if there are several; the
    error of a single path is raised.
    """
    found: dict[RemotePath, TreeNode] = {}
    for path in paths:
        try:
            for one in _expanded(tree, path, failures):
                if one not in found:
                    found[one] = tree.find(one)
        except FsError as error:
            if len(paths) == 1:
                raise
            failures.note(error)
    return list(found.values())


def matcher(path: RemotePath) -> Callable[[RemotePath], bool]:
    """Return a function that tells whether a path of the same tree matches a pattern."""

    def fits(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
        if not parts or not patterns:
            return not parts and not patterns
        return any(fits(parts[1:], after) for after in _after(parts[0], patterns))

    return lambda one: fits(one.parts, path.parts)


def folder_of(tree: Tree, path: RemotePath) -> TreeNode:
    """Return the folder that everything which matches a pattern is in or below."""
    plain = next(at for at, part in enumerate(path.parts) if _MAGIC.search(part))
    return tree.find(RemotePath(path.owner, path.parts[:plain], names_folder=True))


def _expanded(tree: Tree, path: RemotePath, failures: Failures) -> list[RemotePath]:
    if not has_wildcards(path) or _exists(tree, path):
        return [path]
    top = folder_of(tree, path)
    matches = _matches(tree, top, list(path.parts[len(top.path.parts) :]), failures)
    found = {one.path: one for one in matches if one.is_folder or not path.names_folder}
    if not found:
        raise NotFoundError(f"Nothing matches '{path}'.")
    return sorted(found, key=lambda one: one.parts)


def _exists(tree: Tree, path: RemotePath) -> bool:
    try:
        return len(tree.reach(path)[-1].path.parts) == len(path.parts)
    except NotFoundError:
        return False


def _matches(
    tree: Tree, top: TreeNode, patterns: list[str], failures: Failures
) -> Iterator[TreeNode]:
    """Yield what is below a folder and matches one pattern a part."""
    waiting, met = deque([(top, tuple(patterns))]), set[tuple[NodeId, tuple[str, ...]]]()
    for left, inside in listed(tree, waiting, failures):
        for node in inside.nodes:
            for after in _after(node.path.name, left):
                if not after:
                    yield node
                elif node.is_folder and (node.keyed.node, after) not in met:
                    met.add((node.keyed.node, after))
                    waiting.append((node, after))


def _after(name: str, patterns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the patterns that remain for the entries below this one, one tuple for each way.

    An empty tuple means that the entry itself matches.
    """
    first, rest = patterns[0], patterns[1:]
    if first != _ANY_FOLDERS:
        return [rest] if _fits(name, first) else []
    hidden = name.startswith(".")
    below = [] if hidden else [patterns]  # the entry may be one of the folders on the way
    itself = _after(name, rest) if rest else [()][hidden:]
    return below + itself


def _fits(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and fnmatchcase(name, pattern)

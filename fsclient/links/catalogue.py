"""What a public link opens: the files of a node, in the versions that they have now."""

from __future__ import annotations

from collections import deque

from fsclient.session.session import Session
from fsclient.transfer.content import checked_content
from fsclient.transfer.report.failures import Failures
from fsclient.tree.nodes import TreeNode
from fsproto.errors import FsError, UsageError
from fsproto.links.description import Description, LinkedFile, describe
from fsproto.messages.files import Content
from fsproto.sealed.manifest import Mode, NodeKind
from fsproto.values import Value


class Catalogue(Value, frozen=True):
    """The description of a link, and the contents that the server must keep for it."""

    body: Description
    contents: list[Content]


def catalogue_of(
    session: Session, found: TreeNode, name: str, note: str, failures: Failures
) -> Catalogue:
    """Return what a link to a node opens; every signature is verified.

    Symbolic links are left out, with a warning. An entry that does not verify is noted as a
    failure: the caller must not make the link then.
    """
    if not found.is_folder:
        if found.metadata.mode is Mode.SYMLINK:
            raise UsageError(
                f"'{found.path}' is a symbolic link; only files and folders can be linked."
            )
        file = _linked(session, found, name)
        return _catalogue(describe(NodeKind.FILE, name, note, [file], []))
    files, folders = _walked(session, found, failures)
    return _catalogue(describe(NodeKind.FOLDER, name, note, files, folders))


def _catalogue(body: Description) -> Catalogue:
    return Catalogue(body, [Content(file.node, file.root) for file in body.files])


def _walked(
    session: Session, top: TreeNode, failures: Failures
) -> tuple[list[LinkedFile], list[str]]:
    """Return the files below a folder, and the paths of the folders with nothing below them."""
    base = len(top.path.parts)
    files: list[LinkedFile] = []
    empty: set[str] = set()
    waiting = deque([(top, "")])
    for relative, inside in session.tree.listings(waiting):
        if isinstance(inside, FsError):
            failures.note(inside)
            continue
        for refused in inside.refused:
            failures.note(refused.error)
        kept = False
        for node in inside.nodes:
            path = "/".join(node.path.parts[base:])
            if node.is_folder:
                waiting.append((node, path))
            elif node.metadata.mode is Mode.SYMLINK:
                failures.skip(str(node.path), "symbolic link")
                continue
            else:
                with failures.noted():
                    files.append(_linked(session, node, path))
            kept = True
        if relative and not kept:
            empty.add(relative)
    return files, sorted(empty)


def _linked(session: Session, file: TreeNode, path: str) -> LinkedFile:
    session.context.authors.check_manifest(file.manifest)
    content, key = checked_content(file, file.manifest.body.content)
    metadata = file.metadata
    return LinkedFile(
        path,
        metadata.size,
        metadata.mtime_ns,
        1 if metadata.mode is Mode.EXECUTABLE else 0,
        file.keyed.node,
        content.version,
        content.salt,
        content.root,
        key,
    )

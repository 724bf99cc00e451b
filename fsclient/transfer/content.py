"""Checks of a manifest's content record before a file is opened."""

from __future__ import annotations

from fsclient.tree.nodes import TreeNode
from fsproto import crypto
from fsproto.errors import IntegrityError
from fsproto.sealed import stream
from fsproto.sealed.manifest import Content
from fsproto.types import FileKey


def checked_content(file: TreeNode, content: Content | None) -> tuple[Content, FileKey]:
    """Check that content record and file key match the file; return both."""
    key = file.metadata.file_key
    if content is None or key is None:
        raise IntegrityError(f"'{file.path}' is a folder, not a file.")
    if not crypto.equal(stream.key_commitment(key, content.salt), content.commitment):
        raise IntegrityError(f"'{file.path}' was not sealed with the key that its author named.")
    if stream.sealed_size(file.metadata.size) != content.sealed_size:
        raise IntegrityError(f"'{file.path}' has another size than its author signed.")
    return content, key

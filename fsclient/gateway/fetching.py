"""Content that is received in one piece: small files and targets of symbolic links."""

from __future__ import annotations

from collections.abc import Sequence

from fsclient.gateway.content import SealedContent
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsproto.errors import ConflictError, IntegrityError, RemoteProtocolError
from fsproto.limits import MAX_LINK_TARGET
from fsproto.messages import files
from fsproto.messages.files import Fetch, Fetched


def contents_of(session: Session, file: TreeNode) -> SealedContent:
    """Return a file's content after its signature was verified; does not request any data."""
    session.context.authors.check_manifest(file.manifest)
    return SealedContent(file)


def sealed_blobs(session: Session, wanted: Sequence[SealedContent]) -> list[bytes | None]:
    """Return the sealed bytes of small files; None for each that was replaced or removed."""
    ask = Fetch([files.Content(one.node, one.content.root) for one in wanted])

    def receive() -> list[bytes | None]:
        request = session.connection.send(ask)
        blobs: list[bytes | None] = []
        while (missing := len(wanted) - len(blobs)) > 0:
            some = session.connection.answer(request, Fetched).blobs
            if not 0 < len(some) <= missing:
                raise RemoteProtocolError("The server sent more files than the client requested.")
            blobs += some
        return blobs

    return session.retry.run(receive)


def fetched(session: Session, contents: SealedContent) -> memoryview:
    """Return all of a small file; raise `ConflictError` if it was replaced concurrently."""
    (blob,) = sealed_blobs(session, [contents])
    if blob is None:
        raise ConflictError("The file was replaced or removed while it was read.")
    return contents.open(0, memoryview(blob))


def link_target(session: Session, link: TreeNode) -> str:
    """Return the target of a symbolic link, as its author wrote it."""
    contents = contents_of(session, link)
    if not 0 < contents.size <= MAX_LINK_TARGET:
        raise IntegrityError(f"The symbolic link '{link.path}' has an invalid target.")
    return bytes(fetched(session, contents)).decode("utf-8", "surrogateescape")

"""Queries on public links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.orm import Session as Db

from fsd.store.link_models import PublicLink, PublicLinkContent, PublicLinkPart
from fsd.store.models import Blob, Node, User, table
from fsd.store.repos.many import SOME, for_each, helpings, of_some

_PAGE = 100
"""Links that are read at a time."""
_CONTENTS = table(PublicLinkContent)
_NEW_CONTENT = insert(_CONTENTS)
_OPENED = select(_CONTENTS.c.root).where(
    _CONTENTS.c.link_id == bindparam("link"), _CONTENTS.c.root.in_(SOME)
)
_LINKED = select(_CONTENTS.c.root).where(_CONTENTS.c.root.in_(SOME))
_AS_IS = {"synchronize_session": False}


def get(db: Db, link: bytes) -> PublicLink | None:
    """Return one link."""
    return db.get(PublicLink, link)


def hold(db: Db, link: bytes) -> PublicLink | None:
    """Return one link, locked until the end of this transaction."""
    return db.get(PublicLink, link, with_for_update=True, populate_existing=True)


def owner(db: Db, link: PublicLink) -> User | None:
    """Return the owner of a link."""
    return db.get(User, link.user_id)


def load(db: Db, user_id: int) -> tuple[int, int]:
    """Return how many links a user has, and the bytes of their descriptions and records."""
    ask = select(func.count(), func.coalesce(func.sum(PublicLink.size), 0))
    count, size = db.execute(ask.where(PublicLink.user_id == user_id)).one()
    return int(count), int(size)


def add(db: Db, link: PublicLink) -> None:
    """Store a new link."""
    db.add(link)
    db.flush()


def add_part(
    db: Db, link: PublicLink, data: bytes, contents: Sequence[tuple[bytes, bytes]]
) -> None:
    """Add the next part of the description, and contents: nodes and roots. The link is locked."""
    db.add(PublicLinkPart(link_id=link.id, number=link.parts, data=data))
    rows: list[dict[str, object]] = [
        {"link_id": link.id, "root": root, "node_id": node} for node, root in contents
    ]
    for_each(db, _NEW_CONTENT, rows)
    link.parts += 1
    link.size += len(data)
    link.files += len(contents)
    db.flush()


def opened_already(db: Db, link: bytes, roots: Iterable[bytes]) -> bool:
    """Return whether a link opens one of some contents."""
    return next(of_some(db, _OPENED, roots, link=link), None) is not None


def description(db: Db, link: bytes) -> bytes:
    """Return the sealed description of a link."""
    parts = select(PublicLinkPart.data).where(PublicLinkPart.link_id == link)
    return b"".join(db.scalars(parts.order_by(PublicLinkPart.number)))


def content(db: Db, link: bytes, root: bytes) -> Blob | None:
    """Return the blob of a content that a link opens, and whose file was not removed."""
    ask = (
        select(Blob)
        .join(PublicLinkContent, PublicLinkContent.root == Blob.root)
        .join(Node, Node.id == PublicLinkContent.node_id)
        .where(PublicLinkContent.link_id == link, Blob.root == root, Node.removed_ms.is_(None))
    )
    return db.scalar(ask)


def linked(db: Db, roots: Iterable[bytes]) -> set[bytes]:
    """Return those of the contents that a link opens."""
    return {root for (root,) in of_some(db, _LINKED, roots)}


def count_download(db: Db, link: bytes, now_ms: int) -> bool:
    """Count one more download; False if all were made. One conditional update decides."""
    left = PublicLink.max_downloads.is_(None) | (PublicLink.downloads < PublicLink.max_downloads)
    more = update(PublicLink).where(PublicLink.id == link, left)
    done = db.execute(
        more.values(downloads=PublicLink.downloads + 1, used_ms=now_ms), execution_options=_AS_IS
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def of_user(db: Db, user_id: int, after: PublicLink | None = None) -> list[PublicLink]:
    """Return some of the complete links of a user, oldest first; none after the last."""
    ask = select(PublicLink).where(PublicLink.user_id == user_id, PublicLink.complete)
    ask = ask.order_by(PublicLink.made_ms, PublicLink.id).limit(_PAGE)
    if after is not None:
        ask = ask.where(tuple_(PublicLink.made_ms, PublicLink.id) > (after.made_ms, after.id))
    return list(db.scalars(ask))


def remove(db: Db, user_id: int, links: Sequence[bytes]) -> int:
    """Delete links of a user; return how many."""
    gone = 0
    for some in helpings(links):
        mine = delete(PublicLink).where(PublicLink.id.in_(some), PublicLink.user_id == user_id)
        gone += db.execute(mine, execution_options=_AS_IS).rowcount  # type: ignore[attr-defined]
    return gone


def end_of_nodes(db: Db, nodes: Sequence[bytes]) -> None:
    """End the links of removed nodes, and remove these nodes from the links of folders."""
    for some in helpings(nodes):
        of_links = delete(PublicLink).where(PublicLink.node_id.in_(some))
        of_contents = delete(PublicLinkContent).where(PublicLinkContent.node_id.in_(some))
        for gone in (of_links, of_contents):
            db.execute(gone, execution_options=_AS_IS)


def tidy(db: Db, now_ms: int, incomplete_ms: int, lasts_ms: int) -> int:
    """Delete links that have ended; return how many.

    These are the expired ones, those incomplete since `incomplete_ms` milliseconds, and those whose
    last permitted download started `lasts_ms` milliseconds ago.
    """
    expired = PublicLink.expires_ms <= now_ms
    unfinished = PublicLink.complete.is_(False) & (PublicLink.made_ms <= now_ms - incomplete_ms)
    used_up = (PublicLink.downloads >= PublicLink.max_downloads) & (
        PublicLink.used_ms <= now_ms - lasts_ms
    )
    ended = delete(PublicLink).where(expired | unfinished | used_up)
    return int(db.execute(ended, execution_options=_AS_IS).rowcount)  # type: ignore[attr-defined]

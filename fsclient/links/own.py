"""The user's own public links: make, list and end them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fsclient.connection.parts import items_of
from fsclient.links.catalogue import Catalogue
from fsclient.links.own_list import checked_base, listed, short_id, with_id
from fsclient.session.session import Session
from fsclient.tree.nodes import TreeNode
from fsproto.errors import (
    IntegrityError,
    NotFoundError,
    SecurityError,
)
from fsproto.limits import (
    MAX_PUBLIC_LINK_CONTENTS,
    MAX_PUBLIC_LINK_PART,
    MAX_PUBLIC_LINKS_BYTES,
    MAX_PUBLIC_LINKS_NAMED,
    MAX_SHARES,
)
from fsproto.links.description import seal_description
from fsproto.links.record import LinkRecord, open_record, seal_record
from fsproto.links.secret import LinkSecret
from fsproto.links.url import LinkUrl
from fsproto.messages.base import Done
from fsproto.messages.links import (
    AddToLink,
    GetLinks,
    LinkMade,
    LinkPart,
    Links,
    MakeLink,
    OwnLink,
    RemoveLinks,
)
from fsproto.values import Value


class Terms(Value, frozen=True):
    """How long, how often and with which password a link opens."""

    expires_ms: int | None
    max_downloads: int | None
    password: str
    """Empty: none."""

    def __repr__(self) -> str:
        return f"Terms(expires_ms={self.expires_ms}, max_downloads={self.max_downloads})"


class KnownLink(Value, frozen=True):
    """One of the user's links, and what it opens."""

    link: OwnLink
    record: LinkRecord | None
    """None if it does not open: see `error`."""
    error: SecurityError | None = None

    @property
    def full_id(self) -> bytes:
        """The id, 16 bytes."""
        return self.link.link

    @property
    def id(self) -> str:
        """The short id."""
        return short_id(self.full_id)


def make_link(session: Session, found: TreeNode, catalogue: Catalogue, terms: Terms) -> LinkUrl:
    """Make a link to a node of the user's own tree; return its URL.

    The secret is new, and its key seals this one description.
    """
    secret = LinkSecret.new(guarded=bool(terms.password), random=os.urandom)
    keys = secret.keys(terms.password)
    sealed = seal_description(keys, catalogue.body)
    root = session.tree.root.keyed
    record = LinkRecord(1, str(found.path), catalogue.body.name)
    parts = _parts(sealed, catalogue)
    made = session.connection.call(
        MakeLink(
            keys.link,
            found.keyed.node,
            seal_record(root, keys.link, found.keyed.node, record, os.urandom),
            root.generation,
            keys.access_hash,
            keys.proof_hash,
            terms.password != "",
            terms.expires_ms,
            terms.max_downloads,
            parts[0],
        ),
        LinkMade,
    )
    base = checked_base(made.url)
    for number, part in enumerate(parts[1:], 1):
        session.connection.call(AddToLink(keys.link, number, part), Done)
    return LinkUrl(base, secret)


def _parts(sealed: bytes, catalogue: Catalogue) -> list[LinkPart]:
    """Return the parts in which a description and its contents are sent."""
    # One content may be in several files; the server keeps it once.
    contents = list({one.root: one for one in catalogue.contents}.values())
    pieces = range(0, len(sealed), MAX_PUBLIC_LINK_PART)
    groups = range(0, len(contents), MAX_PUBLIC_LINK_CONTENTS)
    count = max(len(pieces), len(groups), 1)
    return [
        LinkPart(
            sealed[at * MAX_PUBLIC_LINK_PART : (at + 1) * MAX_PUBLIC_LINK_PART],
            contents[at * MAX_PUBLIC_LINK_CONTENTS : (at + 1) * MAX_PUBLIC_LINK_CONTENTS],
            at + 1 < count,
        )
        for at in range(count)
    ]


def links_of(session: Session) -> list[KnownLink]:
    """Return the user's links as the server lists them, each with its own record."""
    sent = items_of(session.connection, GetLinks(), Links, lambda one: one.links, MAX_SHARES)
    links = listed(sent, lambda one: one.link, MAX_PUBLIC_LINKS_BYTES, "link")
    return [_known(session, one) for one in links]


def _known(session: Session, link: OwnLink) -> KnownLink:
    root = session.tree.root.keyed
    try:
        if link.max_downloads is not None and link.downloads > link.max_downloads:
            raise IntegrityError("The server counts more downloads of a link than it permits.")
        record = open_record(root, link.generation, link.link, link.node, link.record)
    except SecurityError as error:
        return KnownLink(link, None, error)
    return KnownLink(link, record)


def chosen(known: Sequence[KnownLink], text: str) -> list[KnownLink]:
    """Return the link whose id starts with a text; none if the text is not such an id."""
    found = with_id(known, text, "link")
    return [] if found is None else [found]


def links_to(known: Sequence[KnownLink], found: TreeNode) -> list[KnownLink]:
    """Return the links to a node; `NotFoundError` if there is none."""
    links = [one for one in known if one.link.node == found.keyed.node]
    if not links:
        raise NotFoundError(
            f"There is no link to '{found.path}'.", hint="'fsclient links' lists your links."
        )
    return links


def end_links(session: Session, links: Sequence[KnownLink]) -> None:
    """End links at once."""
    ids = [one.link.link for one in links]
    for at in range(0, len(ids), MAX_PUBLIC_LINKS_NAMED):
        session.connection.call(RemoveLinks(ids[at : at + MAX_PUBLIC_LINKS_NAMED]), Done)

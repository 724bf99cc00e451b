"""Drops for people, and their inboxes."""

from __future__ import annotations

from contextlib import closing

from fsd.principal import Principal
from fsd.services.drops.model import DropSource
from fsd.services.drops.session import DropSession, IncomingDrop
from fsproto.drop import Drop, OpenedDrop, content_ad, open_drop
from fsproto.keys.identity import Identity
from fsproto.limits import SEGMENT_SIZE
from fsproto.sealed import integrity, stream
from fsproto.types import NodeId
from tests.support.services import Services, ServiceUser

SCANNER = DropSource("192.0.2.7", "SHA256:" + "k" * 43, "scanner")
BY_CODE = DropSource("192.0.2.8")
PIECE = 32_000
"""Bytes of a write, about the size that stock clients use."""


def enter(office: Services, person: ServiceUser, source: DropSource = BY_CODE) -> DropSession:
    """Start a session that drops files for a person."""
    return office.drops.enter(person.name, source)


def write(one: IncomingDrop, content: bytes) -> None:
    """Write the content as clients do, in pieces from the start to the end."""
    for start in range(0, len(content), PIECE):
        one.write(start, content[start : start + PIECE])


def drop(box: DropSession, name: str, content: bytes) -> None:
    """Drop a file."""
    one = box.begin(name)
    write(one, content)
    one.finish()


def waiting(office: Services, who: Principal) -> list[Drop]:
    """Return the drops that wait for a person, as the server sends them."""
    return [one for part in office.drops.waiting(who) for one in part.drops]


def content(office: Services, who: Principal, opened: OpenedDrop) -> bytes:
    """Fetch and open a drop's content; compare it with everything that is known about it."""
    reader, size = office.transfers.open(who, NodeId(opened.drop), opened.content.root)
    with closing(reader):
        room = bytearray(size + 1)
        have = 0
        while more := reader.readinto(memoryview(room)[have:]):
            have += more
    blob = bytes(room[:have])
    assert (have, size) == (opened.content.sealed_size, opened.content.sealed_size)
    assert integrity.blob_root(opened.content.salt, blob) == opened.content.root
    header = blob[: stream.HEADER_SIZE]
    opener = stream.StreamOpener(opened.file_key, content_ad(opened.drop), header)
    starts = range(0, len(blob), SEGMENT_SIZE)
    return b"".join(
        opener.open(i, blob[at : at + SEGMENT_SIZE], last=i == len(starts) - 1)
        for i, at in enumerate(starts)
    )


def inbox(
    office: Services, person: ServiceUser, identity: Identity | None = None
) -> dict[str, bytes]:
    """Return a person's waiting drops by name, opened with their keys."""
    opened = [open_drop(one, identity or person.identity) for one in waiting(office, person.who)]
    return {one.note.name: content(office, person.who, one) for one in opened}

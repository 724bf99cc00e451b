"""Public links at the server: what is kept, what is refused, and that all refusals are alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from msgspec.structs import replace

from fsd.audit.events import AuditEvent
from fsd.blobs.janitor import Janitor
from fsd.policies import KeepPolicy, LinkPolicy, LoginPolicy
from fsd.services.files.commits import FileService
from fsd.services.links.proofs import NoSuchLink
from fsd.services.links.receiver import Shown
from fsproto.errors import (
    ConflictError,
    FsError,
    NotAllowedError,
    NotFoundError,
    QuotaError,
    RemoteProtocolError,
)
from fsproto.links.secret import LinkKeys, LinkSecret
from fsproto.messages.files import Content
from fsproto.messages.links import AddToLink, LinkPart, MakeLink, OwnLink
from fsproto.types import LinkId, Root
from tests.support import light_argon2
from tests.support.fixed_keys import stretch
from tests.support.services import GUESSES, Services, audited
from tests.support.writers import Writer

pytestmark = pytest.mark.both_databases

DAY_S = 24 * 3600.0
SEALED = b"the sealed description"
RECEIVER, OTHERS = "198.51.100.7", "203.0.113.9"
LOCKED_AFTER = GUESSES.most_failures


@pytest.fixture(autouse=True)
def _passwords_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    light_argon2.use(monkeypatch.setattr)


def writer(office: Services, clock, keep: KeepPolicy | None = None, name: str = "alice") -> Writer:
    person = office.add(name)
    person.enrol(office, clock())
    files = FileService(office.database, office.blobs, now_ms=clock, keep=keep)
    return Writer(office, person, files)


class Link:
    """A link to one file of a writer."""

    def __init__(self, alice: Writer, name: str, root: Root, password: str = "") -> None:
        self.secret = LinkSecret(stretch(f"link {name} {password}", 32))
        first = self.secret.secret[0] & 0x7F | (0x80 if password else 0)
        self.secret = LinkSecret(bytes([first]) + self.secret.secret[1:])
        self.keys: LinkKeys = self.secret.keys(password)
        self.alice, self.office, self.root = alice, alice.office, root
        part = LinkPart(SEALED, [Content(alice.node(name), root)], more=False)
        self.ask = MakeLink(
            self.keys.link, alice.node(name), b"record", 1, self.keys.access_hash,
            self.keys.proof_hash, bool(password), None, None, part,
        )  # fmt: skip

    def make(self, **changes: object) -> Link:
        self.office.links.make(self.alice.person.who, replace(self.ask, **changes))
        return self

    def shown(self, password: str | None = None) -> Shown:
        keys = self.keys if password is None else self.secret.keys(password)
        return Shown(proof=keys.shown)

    def opens(self, address: str = RECEIVER) -> bytes:
        return self.office.receivers.description(self.keys.link, self.shown(), address)

    def start(self, address: str = RECEIVER) -> Shown:
        ticket = self.office.receivers.start(self.keys.link, self.shown(), address)
        return Shown(ticket=ticket)

    def read(self, ticket: Shown, root: Root | None = None) -> bytes:
        reader, size = self.office.receivers.content(self.keys.link, ticket, root or self.root)
        room = bytearray(size)
        with closing(reader):
            assert reader.readinto(memoryview(room)) == size
        return bytes(room)

    def listed(self) -> OwnLink:
        found = [
            one
            for part in self.office.links.listing(self.alice.person.who)
            for one in part.links
            if one.link == self.keys.link
        ]
        return found[0]


def janitor(office: Services, clock, keep: KeepPolicy) -> Janitor:
    return Janitor(office.database, office.blobs, clock, keep)


@pytest.mark.one_database
def test_a_link_gives_its_description_and_its_content_and_nothing_else(office, clock):
    alice = writer(office, clock)
    linked, other = alice.write("f", b"linked"), alice.write("g", b"not linked")
    link = Link(alice, "f", linked).make()
    assert link.opens() == SEALED
    ticket = link.start()
    assert link.read(ticket) == b"linked"
    with pytest.raises(NoSuchLink):
        link.read(ticket, other)
    with pytest.raises(NoSuchLink):
        link.read(Shown(proof=link.keys.shown))
    assert link.listed().downloads == 1
    kinds = [event for event, subject, _ in audited(office, *AuditEvent) if subject == "alice"]
    assert {"link-made", "link-downloaded"} <= {*kinds}


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.one_database
def test_a_linked_content_is_kept_until_the_link_ends(office, clock, keep):
    policy = KeepPolicy(keep_versions=keep)
    alice = writer(office, clock, policy)
    first = alice.write("f", b"x" * 100_000)
    link = Link(alice, "f", first).make()
    stored = office.path(first)
    for number in range(4):
        alice.write("f", b"newer %d" % number)
    janitor(office, clock, policy).run()
    ticket = link.start()
    assert link.read(ticket) == b"x" * 100_000
    assert stored.exists()
    office.links.remove(alice.person.who, [link.keys.link])
    with pytest.raises(NoSuchLink):
        link.read(ticket)
    janitor(office, clock, policy).run()
    assert not stored.exists()
    assert not alice.can_be_had("f", first)


@pytest.mark.parametrize("days", [0, 30])
@pytest.mark.one_database
def test_removing_the_file_ends_its_links(office, clock, days):
    alice = writer(office, clock, KeepPolicy(keep_removed_days=days))
    link = Link(alice, "f", alice.write("f", b"linked")).make()
    ticket = link.start()
    alice.remove("f")
    for refused in (link.opens, link.start, lambda: link.read(ticket)):
        with pytest.raises(NoSuchLink):
            refused()
    assert not [one for part in office.links.listing(alice.person.who) for one in part.links]


def test_expiry_is_enforced_at_once_also_for_a_download_under_way(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked"))
    with pytest.raises(NotAllowedError):
        link.make(expires_ms=clock())
    link.make(expires_ms=clock() + 60_000)
    ticket = link.start()
    clock.forward(59)
    assert link.read(ticket) == b"linked"
    assert office.receivers.still_open(link.keys.link)
    clock.forward(2)
    for refused in (link.opens, link.start, lambda: link.read(ticket)):
        with pytest.raises(NoSuchLink):
            refused()
    assert not office.receivers.still_open(link.keys.link)


@pytest.mark.one_database
def test_the_last_permitted_download_finishes_and_no_other_starts(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked")).make(max_downloads=2)
    first = link.start()
    link.start(OTHERS)
    for refused in (link.opens, link.start):
        with pytest.raises(NoSuchLink):
            refused()
    assert link.read(first) == b"linked"
    assert office.receivers.description(link.keys.link, first, RECEIVER) == SEALED
    clock.forward(DAY_S + 1)
    with pytest.raises(NoSuchLink):
        link.read(first)
    janitor(office, clock, KeepPolicy()).run()
    assert not [one for part in office.links.listing(alice.person.who) for one in part.links]


def test_of_many_who_ask_for_the_last_download_one_gets_it(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked")).make(max_downloads=1)

    def got(number: int) -> bool:
        try:
            link.start(f"192.0.2.{number}")
        except NoSuchLink:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(got, range(6))) == 1
    assert link.listed().downloads == 1


@pytest.mark.one_database
def test_a_disabled_owner_gives_nothing(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked")).make()
    ticket = link.start()
    office.people.set_disabled("alice", disabled=True)
    for refused in (link.opens, link.start, lambda: link.read(ticket)):
        with pytest.raises(NoSuchLink):
            refused()


@pytest.mark.one_database
def test_all_refusals_are_the_same_error(office, clock):
    alice = writer(office, clock)
    root = alice.write("f", b"linked")
    guarded = Link(alice, "f", root, "word").make()
    used = Link(alice, "f", root).make(max_downloads=1)
    used.start()
    receivers, address = office.receivers, iter(f"192.0.2.{n}" for n in range(100))
    unknown = LinkSecret(bytes(32)).keys()
    refusals = []
    for link, shown in (
        (unknown.link, Shown(proof=unknown.shown)),
        (guarded.keys.link, guarded.shown("another")),
        (guarded.keys.link, Shown(proof=bytes(48))),
        (guarded.keys.link, Shown(proof=b"short")),
        (guarded.keys.link, Shown()),
        (used.keys.link, used.shown()),
    ):
        for act in (receivers.description, receivers.start):
            with pytest.raises(NoSuchLink) as refused:
                act(link, shown, next(address))
            refusals.append(repr(refused.value))
    for ticket in (b"", b"x", bytes(40), bytes(64)):
        with pytest.raises(NoSuchLink) as refused:
            receivers.content(guarded.keys.link, Shown(ticket=ticket), root)
        refusals.append(repr(refused.value))
    assert len(set(refusals)) == 1


@pytest.mark.one_database
def test_a_ticket_opens_only_its_own_link(office, clock):
    alice = writer(office, clock)
    root = alice.write("f", b"linked")
    one, other = Link(alice, "f", root).make(), Link(alice, "f", root, "word").make()
    ticket = one.start()
    assert one.read(ticket) == b"linked"
    with pytest.raises(NoSuchLink):
        other.read(ticket)
    with pytest.raises(NoSuchLink):
        office.receivers.description(other.keys.link, ticket, RECEIVER)


@pytest.mark.one_database
def test_wrong_passwords_are_throttled_like_logins(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked"), "word").make()
    for _ in range(LoginPolicy().free_tries):
        with pytest.raises(NoSuchLink):
            office.receivers.description(link.keys.link, link.shown("wrong"), RECEIVER)
    with pytest.raises(NoSuchLink):
        link.opens()  # the right one, too early
    assert link.opens(OTHERS) == SEALED
    clock.forward(LoginPolicy().first_wait_ms / 1000 + 1)
    assert link.opens() == SEALED


def test_a_link_is_locked_by_wrong_passwords_but_not_by_those_without_its_url(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked"), "word").make()
    for number in range(LOCKED_AFTER + 1):
        with pytest.raises(NoSuchLink):
            office.receivers.description(
                link.keys.link, Shown(proof=bytes(48)), f"2001:db8:{number:x}::1"
            )
    assert not link.listed().locked
    assert link.opens() == SEALED
    wrong = link.shown("wrong")
    for number in range(LOCKED_AFTER):
        with pytest.raises(NoSuchLink):
            office.receivers.description(link.keys.link, wrong, f"2001:db9:{number:x}::1")
    assert link.listed().locked
    with pytest.raises(NoSuchLink):
        link.opens()
    assert [subject for _, subject, _ in audited(office, AuditEvent.LINK_LOCKED)] == ["alice"]


@pytest.mark.one_database
def test_a_right_password_starts_the_count_again(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked"), "word").make()
    wrong = link.shown("wrong")
    for number in range(LOCKED_AFTER + 1):
        with pytest.raises(NoSuchLink):
            office.receivers.description(link.keys.link, wrong, f"2001:db9:{number:x}::1")
        if number == LOCKED_AFTER // 2:
            assert link.opens() == SEALED
    assert not link.listed().locked


@pytest.mark.one_database
def test_a_link_in_parts_opens_after_the_last_one(office, clock):
    alice = writer(office, clock)
    one, two = alice.write("f", b"linked"), alice.write("g", b"linked, too")
    link = Link(alice, "f", one)
    who, more = alice.person.who, Content(alice.node("g"), two)
    link.make(part=replace(link.ask.part, more=True))
    with pytest.raises(NoSuchLink):
        link.opens()
    last = LinkPart(b" and more", [more], more=False)
    with pytest.raises(RemoteProtocolError):
        office.links.add(who, AddToLink(link.keys.link, 2, last))
    office.links.add(who, AddToLink(link.keys.link, 1, last))
    assert link.opens() == SEALED + b" and more"
    assert link.read(link.start(), two) == b"linked, too"
    with pytest.raises(NotFoundError):
        office.links.add(who, AddToLink(link.keys.link, 2, last))


@pytest.mark.one_database
def test_an_incomplete_link_is_deleted_after_an_hour(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked"))
    link.make(part=replace(link.ask.part, more=True))
    clock.forward(3601)
    janitor(office, clock, KeepPolicy()).run()
    link.make()
    assert link.opens() == SEALED


def test_only_own_and_present_contents_can_be_linked(office, clock):
    alice, bob = writer(office, clock), writer(office, clock, name="bob")
    root, his = alice.write("f", b"hers"), bob.write("f", b"his")
    link, theirs = Link(alice, "f", root), bob.person.who
    with pytest.raises(NotAllowedError):
        office.links.make(theirs, link.ask)
    with pytest.raises(NotAllowedError):
        link.make(part=LinkPart(SEALED, [Content(bob.node("f"), his)], more=False))
    for wrong in (Content(alice.node("f"), his), Content(alice.node("f"), Root(bytes(32)))):
        with pytest.raises(ConflictError):
            link.make(part=LinkPart(SEALED, [wrong], more=False))
    twice = [Content(alice.node("f"), root)] * 2
    with pytest.raises(RemoteProtocolError):
        link.make(part=LinkPart(SEALED, twice, more=False))
    for number in (0, 1 << 31):
        with pytest.raises(RemoteProtocolError):
            link.make(max_downloads=number)
    with pytest.raises(RemoteProtocolError):
        link.make(link=LinkId(b"short"))
    link.make()
    with pytest.raises(ConflictError):
        link.make()
    office.links.remove(theirs, [link.keys.link])
    assert link.opens() == SEALED


@pytest.mark.one_database
def test_links_of_a_user_are_limited(office, clock):
    alice = writer(office, clock)
    root = alice.write("f", b"linked")
    office.links.policy = LinkPolicy(url="https://files.example.org", most=2)
    for number in range(3):
        link = Link(alice, "f", root, f"word {number}")
        if number < 2:
            link.make()
            continue
        with pytest.raises(QuotaError):
            link.make()
    assert sum(len(part.links) for part in office.links.listing(alice.person.who)) == 2
    office.links.policy = LinkPolicy(url="")
    with pytest.raises(NotAllowedError, match="offers no links"):
        Link(alice, "f", root).make()


@pytest.mark.one_database
def test_links_end_with_the_account(office, clock):
    alice = writer(office, clock)
    link = Link(alice, "f", alice.write("f", b"linked")).make()
    office.people.remove("alice")
    with pytest.raises(FsError):
        link.opens()

"""Groups as a client sees them: who the server says is in one, and what of it is to be believed.

The answer is a list of names and no more: it opens nothing. It is looked through once, shown to
the person, and what they say yes to is what counts from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsclient.connection.connection import SaidToBeAbsentError
from fsclient.ui import count_text
from fsproto.errors import NotFoundError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.keys.member_list import ALONE
from fsproto.limits import MAX_GROUP
from fsproto.messages.shares import GetGroup, Group
from fsproto.names import is_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fsclient.connection.connection import ServerConnection
    from fsclient.session.login import Session
    from fsclient.sharing.own_shares import OwnShare
    from fsclient.trust.key_directory import KeyDirectory
    from fsproto.keys.identity import VerifiedBundle

SIGN = "@"
"""What groups begin with where people could stand as well."""


def people_in(connection: ServerConnection, group: str) -> list[str]:
    """Return who the server says is in a group, by name.

    `NotFoundError` if it says that there is none, `RemoteProtocolError` for what cannot be.
    """
    try:
        people = connection.interject(GetGroup(group), Group).members
    except SaidToBeAbsentError:
        raise NotFoundError(
            f"The server knows no group @{group}.", hint="Your administrator makes groups."
        ) from None
    wrong = None
    if len(people) > MAX_GROUP:
        wrong = f"{len(people):,} people are in @{group}; {MAX_GROUP} is the most"
    elif not all(map(is_user, people)):
        wrong = f"somebody is in @{group} whose name nobody can have"
    elif len(people) != len(set(people)):
        wrong = f"somebody is in @{group} twice"
    if wrong:
        raise RemoteProtocolError(
            f"The server says that {wrong}.",
            hint="Stop and talk to your administrator: this does not happen by accident.",
        )
    return sorted(people)


@dataclass(frozen=True)
class Candidate:
    """Somebody in a group that something is about to be shared with."""

    user: str
    bundle: VerifiedBundle | None
    """Their keys, as the key log has them; None if they have none."""
    known: bool
    """Whether this client has used their keys before."""
    compared: bool
    has_it: bool
    """Whether it is shared with them already, in whatever way."""

    @property
    def note(self) -> str:
        """What the person should know before they say yes."""
        if self.bundle is None:
            return "has not enrolled yet: left out"
        if self.compared:
            note = "verified by safety words"
        elif self.known:
            note = "keys known here, words not compared"
        else:
            note = "new to this client, words not compared"
        return f"{note}; has it already" if self.has_it else note


def candidates(session: Session, group: str, share: OwnShare | None) -> list[Candidate]:
    """Return who is in a group but oneself, their keys read and verified; pins nobody.

    `share` is what is to be shared, as it is now. Raises what `KeyDirectory.looked_up` does, as
    soon as anything is wrong with anybody.
    """
    people = session.people
    session.tree.catch_up()
    users = [one for one in people_in(session.connection, group) if one != session.identity.user]
    bundles = people.looked_up(session.connection, [one for one in users if people.log.now(one)])
    found = []
    for user in users:
        pin = people.pin_of(user)
        compared, has_it = bool(pin and pin.compared), share is not None and user in share.ways
        found.append(Candidate(user, bundles.get(user), pin is not None, compared, has_it))
    return found


def told_now(session: Session, groups: Iterable[str]) -> dict[str, list[str] | None]:
    """Return who but oneself is in some groups now; None for one that is no more."""
    found = dict[str, list[str] | None]()
    for group in groups:
        try:
            people = people_in(session.connection, group)
        except NotFoundError:
            found[group] = None
        else:
            found[group] = [one for one in people if one != session.identity.user]
    return found


@dataclass(frozen=True)
class LosingMember:
    """Somebody who came by a group that is about to lose a share."""

    user: str
    stays: Role | None
    """What they may do still, because they have it in another way; None: nothing."""


def leaving(share: OwnShare | None, group: str) -> list[LosingMember]:
    """Return whom a share would be taken from with a group, and who keeps it in another way."""
    found = []
    for user, ways in share.ways.items() if share else ():
        others = [role for way, role in ways.items() if way != group]
        if group in ways:
            found.append(LosingMember(user, max(others, default=None)))
    return found


@dataclass(frozen=True)
class GroupDrift:
    """A group by which people have something, held against who is in it now."""

    group: str
    exists: bool
    waiting: list[str]
    """Who is in it now, has keys, and has not got it."""
    not_enrolled: list[str]
    gone: list[str]
    """Who is in it no more, and still has it by the group."""
    writes: bool
    """Whether those who came by it may write."""


def standings(
    share: OwnShare, now: dict[str, list[str] | None], people: KeyDirectory
) -> list[GroupDrift]:
    """Hold the groups of a share against who is in them `now` (None: there is no such group)."""
    found = []
    for group in groups_of([share]):
        inside = now[group]
        came = {user: ways[group] for user, ways in share.ways.items() if group in ways}
        outside = [user for user in inside or () if user not in share.ways]
        found.append(
            GroupDrift(
                group,
                inside is not None,
                [user for user in outside if people.log.now(user)],
                [user for user in outside if not people.log.now(user)],
                [] if inside is None else [user for user in came if user not in inside],
                Role.WRITER in came.values(),
            )
        )
    return found


def groups_of(shares: Iterable[OwnShare]) -> list[str]:
    """Return the groups by which people have any of these, by name."""
    found = {way for share in shares for ways in share.ways.values() for way in ways}
    return sorted(found - {ALONE})


def listed(users: Sequence[str], most: int = 6) -> str:
    """Return `bob`, `bob and carol`, `bob, carol, dave, erin, frank and 395 others`."""
    names = list(users)
    if len(names) > most:
        names = [*names[: most - 1], count_text(len(names) - most + 1, "other")]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last

"""Groups in the client: the members that the server names, and the state of shares with groups.

The server answers with a list of names. The list alone gives no access. The client checks it and
shows it to the user; the share goes only to the people that the user confirms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsclient.connection.refusals import SaidToBeAbsentError
from fskit.text import count_text
from fsproto.errors import NotFoundError, RemoteProtocolError
from fsproto.keys.grants import Role
from fsproto.keys.member_list import ALONE
from fsproto.limits import MAX_GROUP
from fsproto.messages.shares import GetGroup, Group
from fsproto.names import is_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fsclient.connection.connection import ServerConnection
    from fsclient.session.session import Session
    from fsclient.sharing.own_shares import OwnShare
    from fsclient.trust.key_directory import KeyDirectory
    from fsproto.keys.identity import VerifiedBundle

SIGN = "@"
"""Prefix of a group name where a user name is possible, too."""


def people_in(connection: ServerConnection, group: str) -> list[str]:
    """Return the names of the members of a group, as the server states them, sorted.

    `NotFoundError` if the server knows no such group, `RemoteProtocolError` for an invalid list.
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
        wrong = f"@{group} names an invalid user"
    elif len(people) != len(set(people)):
        wrong = f"@{group} names a user twice"
    if wrong:
        raise RemoteProtocolError(
            f"The server says that {wrong}.",
            hint="Stop and talk to your administrator: this does not happen by accident.",
        )
    return sorted(people)


@dataclass(frozen=True)
class Candidate:
    """A member of a group, before the user confirms a share with the group."""

    user: str
    bundle: VerifiedBundle | None
    """The public keys, as in the key log; None if the user's keys are missing or unusable."""
    known: bool
    """Whether this client has pinned keys of this user."""
    compared: bool
    has_it: bool
    """Whether the user is a member of the share already, alone or through any group."""
    unusable: bool = False
    """Whether nothing can be sealed to the user's public keys."""

    @property
    def note(self) -> str:
        """The facts about this member to show before the confirmation."""
        if self.unusable:
            return "has unusable keys: left out"
        if self.bundle is None:
            return "has not enrolled yet: left out"
        if self.compared:
            note = "verified by safety number"
        elif self.known:
            note = "keys known here, safety numbers not compared"
        else:
            note = "new to this client, safety numbers not compared"
        return f"{note}; has it already" if self.has_it else note


def candidates(session: Session, group: str, share: OwnShare | None) -> list[Candidate]:
    """Return the members of a group except the user, with verified keys; pin no keys.

    `share` is the present share of the node, if there is one. Raises what
    `KeyDirectory.looked_up` does, at the first member whose keys cannot be verified.
    """
    people = session.people
    session.context.catch_up()
    users = [one for one in people_in(session.connection, group) if one != session.identity.user]
    bundles = people.looked_up(
        session.context.questions, [one for one in users if people.log.now(one)]
    )
    found, members = [], share.roles if share is not None else {}
    for user in users:
        pin = people.pin_of(user)
        compared, has_it = bool(pin and pin.compared), user in members
        bundle = bundles.get(user)
        unusable = bundle is None and people.log.now(user) is not None
        found.append(Candidate(user, bundle, pin is not None, compared, has_it, unusable))
    return found


def current_members(session: Session, groups: Iterable[str]) -> dict[str, list[str] | None]:
    """Return the present members of some groups except the user; None for a deleted group."""
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
    """A member through a group whose share is about to end."""

    user: str
    stays: Role | None
    """The role that remains, alone or through other groups; None if no access remains."""


def leaving(share: OwnShare | None, group: str) -> list[LosingMember]:
    """Return the members of a share through a group, with the role that each would keep."""
    found = []
    for user, ways in share.ways.items() if share else ():
        others = [role for way, role in ways.items() if way != group]
        if group in ways:
            found.append(LosingMember(user, max(others, default=None)))
    return found


@dataclass(frozen=True)
class GroupDrift:
    """A comparison of a share through a group with the present members of the group."""

    group: str
    exists: bool
    waiting: list[str]
    """Present group members who are enrolled and do not have the share."""
    not_enrolled: list[str]
    gone: list[str]
    """Former group members who still have the share through the group."""
    writes: bool
    """Whether any member through the group is a writer."""


def group_changes(
    share: OwnShare, now: dict[str, list[str] | None], people: KeyDirectory
) -> list[GroupDrift]:
    """Compare the groups of a share with their members `now` (None: no such group)."""
    found, all_ways = [], share.ways
    for group in groups_of([share]):
        inside = now[group]
        members = set(inside or ())
        came = {user: ways[group] for user, ways in all_ways.items() if group in ways}
        outside = [user for user in inside or () if user not in all_ways]
        found.append(
            GroupDrift(
                group,
                inside is not None,
                [user for user in outside if people.log.now(user)],
                [user for user in outside if not people.log.now(user)],
                [] if inside is None else [user for user in came if user not in members],
                Role.WRITER in came.values(),
            )
        )
    return found


def groups_of(shares: Iterable[OwnShare]) -> list[str]:
    """Return the names of the groups through which these shares have members, sorted."""
    found = {way for share in shares for ways in share.ways.values() for way in ways}
    return sorted(found - {ALONE})


def listed(users: Sequence[str], most: int = 6) -> str:
    """Return `bob`, `bob and carol`, `bob, carol, dave, erin, frank and 395 others`."""
    names = list(users)
    if len(names) > most:
        names = [*names[: most - 1], count_text(len(names) - most + 1, "other")]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last

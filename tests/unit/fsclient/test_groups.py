"""How a client compares a share with a group's members; without a server."""

from __future__ import annotations

from typing import cast

import pytest

from fsclient.sharing.groups import (
    GroupDrift,
    LosingMember,
    group_changes,
    groups_of,
    leaving,
    listed,
)
from fsclient.sharing.member_lists import check_room, missing_grants
from fsclient.sharing.own_shares import OwnShare
from fsclient.tree.nodes import TreeNode
from fsclient.trust.key_directory import KeyDirectory
from fsproto.errors import NotAllowedError
from fsproto.keys.grants import Role
from fsproto.keys.identity import VerifiedBundle
from fsproto.keys.member_list import (
    ALONE,
    FORMAT_WITH_GROUPS,
    GroupedList,
    Member,
    MemberOrigin,
    sealed_hash,
    sign_members,
)
from fsproto.limits import MAX_GROUP
from fsproto.types import NO_HASH, NodeId
from tests.support.fixed_keys import LOG_HEAD
from tests.support.services import identity

ALICE = identity("alice")
BUNDLES = {name: identity(name).bundle for name in ("bob", "carol", "dave", "erin")}
READER, WRITER = Role.READER, Role.WRITER


class Known:
    """A key log in which every user has keys, except names that start with `no-`."""

    @property
    def log(self) -> Known:
        return self

    def now(self, user: str) -> str | None:
        return None if user.startswith("no-") else user


class Place:
    path = "reports"


PEOPLE, FOUND = cast("KeyDirectory", Known()), cast("TreeNode", Place())


def share_of(*came: tuple[str, str, Role], left: tuple[str, ...] = ()) -> OwnShare:
    """Return a share whose members have these origins: (user, group, role)."""
    roles = dict[str, Role]()
    for user, _, role in came:
        roles[user] = max(role, roles.get(user, role))
    members = [
        Member(user, role, bytes(32), BUNDLES[user].hash, sealed_hash(b""))
        for user, role in roles.items()
    ]
    body = GroupedList(
        format=FORMAT_WITH_GROUPS,
        node=NodeId(bytes(16)),
        version=1,
        lineage=NO_HASH,
        generation=1,
        owner="alice",
        owner_key=ALICE.signing.public,
        members=members,
        above=[],
        former=[],
        time_ms=1,
        log_head=LOG_HEAD,
        came=[MemberOrigin(*one) for one in came],
    )
    return OwnShare(FOUND, sign_members(ALICE.signing, body), list(left))


SHARE = share_of(
    ("bob", "team", READER),
    ("bob", ALONE, WRITER),
    ("carol", "team", WRITER),
    ("dave", "team", READER),
    ("dave", "crew", READER),
    left=("erin",),
)


def test_a_member_removed_with_a_group_keeps_other_access():
    assert leaving(SHARE, "team") == [
        LosingMember("bob", WRITER),
        LosingMember("carol", None),
        LosingMember("dave", READER),
    ]
    assert leaving(SHARE, "crew") == [LosingMember("dave", READER)]
    assert leaving(SHARE, "other") == leaving(None, "team") == []


def test_a_share_is_compared_with_the_present_members_of_its_groups():
    assert groups_of([SHARE, SHARE]) == ["crew", "team"]
    now: dict[str, list[str] | None] = {"crew": None, "team": ["bob", "dave", "erin", "no-keys"]}
    assert group_changes(SHARE, now, PEOPLE) == [
        GroupDrift("crew", exists=False, waiting=[], not_enrolled=[], gone=[], writes=False),
        GroupDrift(
            "team",
            exists=True,
            waiting=["erin"],
            not_enrolled=["no-keys"],
            gone=["carol"],
            writes=True,
        ),
    ]


def test_a_member_who_left_a_share_is_not_listed_as_having_it():
    share = share_of(("bob", "team", READER), ("carol", "team", READER), left=("carol",))
    (told,) = group_changes(share, {"team": ["carol"]}, PEOPLE)
    assert (told.waiting, told.gone) == (["carol"], ["bob"])


def test_only_who_lacks_just_that_way_is_given_it():
    def given(way: str, role: Role, **bundles: VerifiedBundle) -> list[str]:
        return missing_grants(SHARE, BUNDLES | bundles, way, role)

    assert given("team", READER) == ["carol", "erin"]
    assert given("team", WRITER) == ["bob", "dave", "erin"]
    assert given("crew", READER) == ["bob", "carol", "erin"]
    other = identity("dave", "second", 2).bundle
    assert given("crew", READER, dave=other) == ["bob", "carol", "dave", "erin"]
    assert missing_grants(None, BUNDLES, "team", READER) == list(BUNDLES)


def test_a_share_has_room_for_as_many_as_can_be_removed_again():
    users = [f"user{number}" for number in range(MAX_GROUP)]
    check_room(FOUND, None, users)
    check_room(FOUND, SHARE, [*users[3:], "bob"])
    with pytest.raises(NotAllowedError, match="401 people"):
        check_room(FOUND, SHARE, users[2:])


def test_names_are_listed_as_people_say_them():
    assert listed(["bob"]) == "bob"
    assert listed(["bob", "carol"]) == "bob and carol"
    assert listed(list("abcdef")) == "a, b, c, d, e and f"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 others"

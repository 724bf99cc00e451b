"""Member lists: members, accepted writers, and the sealed key."""

from __future__ import annotations

from dataclasses import replace as with_fields

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsproto import crypto
from fsproto.errors import IntegrityError, RemoteProtocolError
from fsproto.keys.grants import Role, wrap
from fsproto.keys.identity import Identity
from fsproto.keys.member_list import (
    FormerWriter,
    InheritedWriter,
    Member,
    VerifiedMembers,
    sealed_hash,
    sign_members,
    verify_members,
)
from fsproto.limits import MAX_GENERATION, MAX_MEMBERS
from tests.support import strategies as our
from tests.support.fixed_keys import Seeded, person, stretch
from tests.support.services import identity
from tests.vectors.makers.shares import SHARED, member_list

replace = msgspec.structs.replace
ALICE = person("alice")
BODY = member_list()


def verified(**changes: object) -> VerifiedMembers:
    """Sign a list as its owner and verify it like a reader."""
    made = sign_members(ALICE.signing, replace(BODY, **changes))
    return verify_members(made.signed, SHARED.node, "alice", ALICE.signing.public)


def key_of(user: str) -> bytes:
    return crypto.SigningKey(stretch(user, 32)).public


def member(user: str, role: Role = Role.READER) -> Member:
    return replace(BODY.members[0], user=user, role=role, ed25519=key_of(user))


def test_what_is_signed_is_what_is_verified():
    made = sign_members(ALICE.signing, BODY)
    assert verified() == made
    assert made.hash != sign_members(ALICE.signing, replace(BODY, version=3)).hash


def test_a_user_is_found_by_name():
    members = verified(members=[member("bob"), member("carol")])
    found = members.member("carol")
    assert found is not None
    assert found.ed25519 == key_of("carol")
    assert members.member("dave") is None


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_writer_of_the_list_writes_under_every_generation(generation: int):
    members = verified(members=[member("bob", Role.WRITER)], above=[], former=[])
    assert members.may_write("bob", generation) == [key_of("bob")]


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_a_reader_writes_under_none(generation: int):
    members = verified(members=[member("bob")], above=[], former=[])
    assert members.may_write("bob", generation) == []


@given(last=st.integers(1, 999), asked=st.integers(1, 1000))
def test_who_could_write_once_wrote_up_to_the_last_generation_that_counts(last: int, asked: int):
    former = [FormerWriter("bob", key_of("bob"), last)]
    members = verified(generation=1000, members=[], above=[], former=former)
    assert members.may_write("bob", asked) == ([key_of("bob")] if asked <= last else [])


def test_a_reader_who_was_a_writer_wrote_before():
    former = [FormerWriter("bob", key_of("before"), 1)]
    members = verified(members=[member("bob")], above=[], former=former)
    assert members.may_write("bob", 1) == [key_of("before")]
    assert members.may_write("bob", 2) == []


def test_all_keys_that_a_list_has_of_a_writer_count():
    members = verified(
        members=[member("bob", Role.WRITER)],
        above=[InheritedWriter("bob", key_of("above"))],
        former=[FormerWriter("bob", key_of("before"), 1)],
    )
    assert set(members.may_write("bob", 1)) == {key_of(k) for k in ("bob", "above", "before")}
    assert set(members.may_write("bob", 3)) == {key_of(k) for k in ("bob", "above")}


@pytest.mark.parametrize("count", [MAX_MEMBERS, MAX_MEMBERS + 1])
@pytest.mark.parametrize("where", ["members", "above", "former"])
def test_a_list_has_a_limit_of_names(where: str, count: int):
    names = [f"person{n}" for n in range(count)]
    people = {
        "members": [member(name) for name in names],
        "above": [InheritedWriter(name, key_of("one")) for name in names],
        "former": [FormerWriter(name, key_of("one"), 1) for name in names],
    }
    error = our.outcome(lambda: verified(**{where: people[where]}))
    assert type(error) is (type(None) if count == MAX_MEMBERS else RemoteProtocolError)


@pytest.mark.parametrize("generation", [1, MAX_GENERATION])
def test_generations_of_a_list_are_those_of_keys(generation: int):
    assert verified(generation=generation, former=[]).body.generation == generation


# --- the key


def sealed_to(who: Identity, role: Role = Role.READER) -> tuple[VerifiedMembers, bytes]:
    """Return a list with one member, and the key sealed to that member."""
    sealed = wrap(SHARED, who.bundle, role, Seeded("sealed"))
    one = Member(who.user, role, who.signing.public, who.bundle.hash, sealed_hash(sealed))
    return verified(members=[one]), sealed


@pytest.mark.parametrize("role", [Role.READER, Role.WRITER])
def test_a_member_opens_the_key_of_the_newest_generation_alone(role: Role):
    bob = identity("bob")
    members, sealed = sealed_to(bob, role)
    opened = members.open(sealed, bob)
    assert (opened.node, opened.generation, opened.key) == (SHARED.node, 3, SHARED.key)
    assert opened.former == ()


def test_what_was_sealed_to_keys_that_were_replaced_still_opens():
    old, new = identity("bob"), identity("bob", "second", 2)
    members, sealed = sealed_to(old)
    assert members.open(sealed, with_fields(new, former=(old,))).key == SHARED.key
    with pytest.raises(IntegrityError, match="keys that you do not have") as refusal:
        members.open(sealed, new)
    assert refusal.value.hint


def test_a_person_who_is_not_named_opens_nothing():
    members, sealed = sealed_to(identity("bob"))
    with pytest.raises(IntegrityError, match="does not name you"):
        members.open(sealed, identity("carol"))


def test_another_key_that_is_sealed_to_the_same_person_is_refused():
    bob = identity("bob")
    members, sealed = sealed_to(bob)
    other = wrap(SHARED, bob.bundle, Role.READER, Seeded("again"))
    assert other != sealed
    with pytest.raises(IntegrityError, match="another key"):
        members.open(other, bob)

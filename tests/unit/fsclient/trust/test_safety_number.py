"""Safety numbers: the same for both people, and different for any other keys."""

from __future__ import annotations

import pytest

from fsclient.trust.safety_number import half_of, safety_number
from fsproto.types import Hash
from tests.support.fixed_keys import person, stretch
from tests.support.services import identity

ALICE, BOB = person("alice").bundle, person("bob").bundle


@pytest.fixture(scope="module")
def true() -> list[str]:
    """The number of alice and bob: it takes a third of a second."""
    return safety_number(ALICE, BOB)


def test_both_people_see_the_same_sixty_digits(true):
    assert true == safety_number(BOB, ALICE)
    assert [len(group) for group in true] == [5] * 12
    assert "".join(true).isdecimal()


def test_keys_in_between_change_the_half_of_the_person_whose_keys_they_replace(true):
    false = safety_number(ALICE, identity("bob", "between").bundle)
    halves = [{tuple(number[:6]), tuple(number[6:])} for number in (true, false)]
    assert halves[0] & halves[1] == {tuple(half_of("alice", ALICE.hash))}


def test_a_half_depends_on_the_name_and_on_every_bit_of_the_bundle():
    bundle = Hash(stretch("bundle", 32))
    other = Hash(bundle[:-1] + bytes([bundle[-1] ^ 1]))
    halves = {tuple(half_of(user, of)) for user, of in (("a", bundle), ("b", bundle), ("a", other))}
    assert len(halves) == 3

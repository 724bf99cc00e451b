"""Safety numbers: the same for both people, and different for any other keys."""

from __future__ import annotations

from fsclient.trust.safety_number import half_of, safety_number
from fsproto.types import Hash
from tests.support.fixed_keys import person, stretch
from tests.support.services import identity


def test_both_people_see_the_same_sixty_digits():
    alice, bob = person("alice").bundle, person("bob").bundle
    number = safety_number(alice, bob)
    assert number == safety_number(bob, alice)
    assert [len(group) for group in number] == [5] * 12
    assert "".join(number).isdecimal()


def test_keys_in_between_change_the_half_of_the_person_whose_keys_they_replace():
    alice, bob, between = person("alice"), person("bob"), identity("bob", "between")
    true = safety_number(alice.bundle, bob.bundle)
    false = safety_number(alice.bundle, between.bundle)
    halves = [{tuple(number[:6]), tuple(number[6:])} for number in (true, false)]
    assert halves[0] & halves[1] == {tuple(half_of("alice", alice.bundle.hash))}


def test_a_half_depends_on_the_name_and_on_every_bit_of_the_bundle():
    bundle = Hash(stretch("bundle", 32))
    other = Hash(bundle[:-1] + bytes([bundle[-1] ^ 1]))
    halves = {tuple(half_of(user, of)) for user, of in (("a", bundle), ("b", bundle), ("a", other))}
    assert len(halves) == 3

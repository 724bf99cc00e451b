"""Which names are one file, and the spelling under which a client knows a place."""

from __future__ import annotations

import unicodedata
from random import Random
from timeit import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fskit import file_names
from fskit.file_names import MOST_SPELLINGS, Spellings, folded_name, same_name

NFC, NFD = "caf\u00e9", "cafe\u0301"


@given(st.text(max_size=20))
def test_all_forms_and_cases_of_a_name_have_one_key(name):
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, name)
        assert same_name(name, other)
        assert folded_name(other) == folded_name(name) == folded_name(name.casefold())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README", "readme"),
        ("Stra\u00dfe", "STRASSE"),
        ("a\u200db", "AB"),
        ("\u2764\ufe0f", "\u2764"),
    ],
)
def test_a_folder_that_folds_case_may_take_these_for_one(one, other):
    assert folded_name(one) == folded_name(other)
    assert not same_name(one, other)


def test_the_newest_spelling_is_shown_and_no_older_one_removes():
    spellings = Spellings()
    assert spellings.show((NFC,)) == NFC
    spellings.use((NFD,))
    spellings.use((NFC,))  # seen in an older listing
    assert spellings.show((NFC,)) == NFD
    assert spellings.knows((NFD,))
    assert not spellings.knows((NFC,))
    spellings.use((NFC,), written=True)
    assert spellings.show((NFC,)) == NFC


def test_a_folder_under_an_older_spelling_has_nothing_to_remove():
    spellings = Spellings()
    spellings.use((NFC,))
    spellings.use((NFD, "x"), written=True)
    assert not spellings.knows((NFC, "x"))
    assert spellings.knows((NFD, "x"))


def test_another_connection_sees_what_was_written_and_not_what_was_looked_for():
    written = Spellings()
    one, other = Spellings(written), Spellings(written)
    one.use((NFD,))
    assert other.show((NFC,)) == NFC
    one.use((NFD,), written=True)
    assert other.show((NFC,)) == NFD
    assert not other.knows((NFC,))
    one.forget((NFC,))
    assert Spellings(written).show((NFC,)) == NFC


def test_names_in_a_folder_move_with_it():
    spellings = Spellings()
    spellings.use(("a", NFD), written=True)
    spellings.use(("b", NFC), written=True)
    spellings.move(("a",), ("b",))
    assert spellings.show(("b", NFC)) == NFD
    assert spellings.show(("a", NFC)) == NFC


def test_the_memory_of_a_connection_is_bounded(monkeypatch):
    monkeypatch.setattr(file_names, "MOST_SPELLINGS", 10)
    spellings = Spellings()
    for number in range(20):
        spellings.use((f"{NFD}{number}",), written=True)
    assert len(spellings._places.used) == 10
    assert spellings.show((f"{NFC}19",)) == f"{NFD}19"


def test_random_moves_and_removals_leave_the_spellings_of_a_plain_dictionary():
    random, spellings, plain = Random(7), Spellings(), dict[tuple[str, ...], str]()
    names = ["é", "ö", "a", "ñ"]

    def place() -> tuple[str, ...]:
        return tuple(random.choices(names, k=random.randint(1, 3)))

    for _ in range(3000):
        old, new = place(), place()
        match random.randrange(3):
            case 0:
                spelled = tuple(unicodedata.normalize("NFD", name) for name in old)
                spellings.use(spelled, written=True)
                ends = (end for end in range(1, len(old) + 1) if old[end - 1] != "a")
                plain |= {old[:end]: spelled[end - 1] for end in ends}
            case 1:
                spellings.forget(old)
                plain = {one: said for one, said in plain.items() if one[: len(old)] != old}
            case _ if new[: len(old)] != old and old[: len(new)] != new:
                spellings.move(old, new)
                moved = {
                    (*new, *one[len(old) :]): said
                    for one, said in plain.items()
                    if one[: len(old)] == old and len(one) > len(old)
                }
                gone = (old, new)
                plain = {
                    one: said
                    for one, said in plain.items()
                    if not any(one[: len(each)] == each for each in gone)
                } | moved
        found = {one: next(iter(used)) for one, used in spellings._places.used.items()}
        assert found == plain
    for one in list(plain):
        spellings.forget(one)
    assert not spellings._places._below  # nothing of removed places stays in memory


def test_a_removal_takes_no_longer_when_many_spellings_are_known():
    def fastest_s(known: int) -> float:
        spellings = Spellings()
        for number in range(known):
            spellings.use(("folder", f"é{number}"), written=True)
        timed = (timeit(lambda: spellings.forget(("folder", "a")), number=50) for _ in range(20))
        return min(timed)

    assert fastest_s(MOST_SPELLINGS) < 10 * fastest_s(100)

"""Which names are one file, and the spelling under which a client knows a place."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fskit import file_names
from fskit.file_names import Spellings, folded_name, same_name

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
    assert len(spellings._used) == 10
    assert spellings.show((f"{NFC}19",)) == f"{NFD}19"

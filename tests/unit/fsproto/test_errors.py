"""The error classes: codes, exit statuses and sentences that programs and peers rely on."""

from __future__ import annotations

import pytest

from fsproto import errors
from fsproto.errors import ERRORS, FsError, InternalError, from_wire
from fsproto.messages import Failure, decode, encode, failure

EXIT_STATUSES = {1, 2, 3, 4, 5, 6, 7, 8, 9, 130}


def _classes(root: type[FsError] = FsError) -> list[type[FsError]]:
    return [root, *(found for child in root.__subclasses__() for found in _classes(child))]


OURS = [cls for cls in _classes() if cls.__module__ == errors.__name__]


def test_every_class_has_a_code_of_its_own():
    assert sorted(ERRORS) == sorted({cls.code for cls in OURS})
    assert len(ERRORS) == len(OURS)
    assert all("code" in vars(cls) for cls in OURS)


def test_a_code_is_plain():
    for cls in OURS:
        assert cls.code.replace("-", "").isalpha(), cls.__name__
        assert cls.code == cls.code.lower(), cls.__name__


def test_an_exit_status_is_one_of_the_documented():
    for cls in OURS:
        assert cls.exit_status in EXIT_STATUSES, cls.__name__


def test_every_documented_exit_status_is_used():
    assert {cls.exit_status for cls in OURS} == EXIT_STATUSES


def test_the_docstring_of_an_error_starts_with_its_sentence():
    for cls in OURS:
        assert cls.__doc__ is not None, cls.__name__
        sentence = cls.__doc__.splitlines()[0]
        assert sentence.endswith("."), cls.__name__
        assert cls().sentence == str(cls()) == sentence, cls.__name__


def test_a_hint_is_a_sentence_too():
    for cls in OURS:
        assert cls.default_hint is None or cls.default_hint.endswith("."), cls.__name__
        assert cls().hint == cls.default_hint, cls.__name__


def test_an_error_comes_back_from_the_wire_as_it_was_said():
    for cls in OURS:
        for said in (cls("This is what happened."), cls("This is what happened.", hint="Do it.")):
            told = failure(said) if cls is not FsError else Failure(cls.code, said.sentence, "", 0)
            heard = from_wire(told.code, told.sentence, told.hint)
            assert type(heard) is cls, cls.__name__
            assert heard.sentence == said.sentence, cls.__name__
            if cls is not FsError:
                assert heard.hint == said.hint, cls.__name__


def test_a_hint_of_the_class_is_not_sent():
    for cls in OURS:
        assert failure(cls("This is what happened.")).hint == "", cls.__name__


def test_an_error_without_a_sentence_has_that_of_its_class():
    for cls in OURS:
        assert from_wire(cls.code, "").sentence == cls().sentence, cls.__name__


def test_an_unknown_code_is_an_internal_error():
    heard = from_wire("from-the-future", "Something new.")
    assert type(heard) is InternalError
    assert heard.sentence == "Something new."


def test_an_error_reaches_the_peer_with_its_hint_and_its_time():
    for cls in OURS:
        said = cls("This is what happened.", hint="This helps.")
        said.again_ms = 1_800_000_000_000
        told = failure(said)
        expected = Failure(cls.code, said.sentence, "This helps.", 1_800_000_000_000)
        assert told == (failure(InternalError()) if cls is FsError else expected), cls.__name__
        assert decode(encode(told)) == told, cls.__name__


def test_a_peer_learns_nothing_about_an_unexpected_error():
    told = failure(FsError("KeyError: 'a name that is nobody's business'"))
    assert told == Failure(InternalError.code, InternalError().sentence, "", 0)


def test_a_given_hint_takes_the_place_of_the_default():
    assert errors.NotFsdError(hint="Ask Bob.").hint == "Ask Bob."
    assert errors.NotFsdError(hint="").hint == ""


@pytest.mark.parametrize(
    ("cls", "status"),
    [
        (errors.UsageError, 2),
        (errors.Unreachable, 3),
        (errors.LoginRefused, 4),
        (errors.NotFoundError, 5),
        (errors.NotAllowedError, 6),
        (errors.SecurityError, 7),
        (errors.ConflictError, 8),
        (errors.OutOfSpaceError, 9),
        (errors.Interrupted, 130),
    ],
)
def test_a_kind_of_error_has_one_exit_status_all_through(cls: type[FsError], status: int):
    assert {each.exit_status for each in _classes(cls)} == {status}

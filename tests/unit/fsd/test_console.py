"""How the server's programs end: a sentence, an exit status, and a traceback only on request."""

from __future__ import annotations

import sys

import click
import pytest

from fskit.console import Console, debug_option, run
from fsproto.errors import ERRORS, FsError, IntegrityError


@pytest.fixture
def ending(monkeypatch, capsys):
    """Run a command with a given body; return its exit status and its output."""

    def end(act, *args: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["fsx", *args])

        @click.command()
        @debug_option
        def command() -> None:
            act()

        with pytest.raises(SystemExit) as ended:
            run(command, Console("fsx"))
        return (ended.value.code, *capsys.readouterr())

    return end


def raising(error: BaseException):
    def act() -> None:
        raise error

    return act


def test_what_goes_well_ends_with_0(ending):
    assert ending(lambda: click.echo("done")) == (0, "done\n", "")


@pytest.mark.parametrize("kind", ERRORS.values(), ids=list(ERRORS))
def test_every_error_ends_with_its_own_status_and_sentence(ending, kind):
    status, out, err = ending(raising(kind()))
    assert (status, out) == (kind.exit_status, "")
    assert err.startswith(f"fsx: {kind().sentence}\n")


def test_a_hint_stands_under_the_sentence(ending):
    told = ending(raising(FsError("It broke.", hint="Mend it.")))
    assert told == (1, "", "fsx: It broke.\n     Mend it.\n")


def test_a_sentence_cannot_command_the_terminal(ending):
    _, _, err = ending(raising(IntegrityError("\x1b[2J\rnothing happened\u202e", hint="\x07")))
    assert err == "fsx: \\u001b[2J\\u000dnothing happened\\u202e\n     \\u0007\n"


def test_an_unexpected_error_is_one_sentence_without_its_text(ending):
    status, out, err = ending(raising(ValueError("secret words")))
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "fsx: Something unexpected went wrong: ValueError.",
        "     Run it again with --debug to see where.",
    ]


@pytest.mark.parametrize("error", [ValueError("words"), FsError("A sentence.")])
def test_debug_shows_where(ending, error):
    status, _, err = ending(raising(error), "--debug")
    assert status == 1
    assert err.startswith("Traceback")
    assert "in act" in err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), EOFError()])
def test_an_interruption_ends_with_130(ending, error):
    status, out, err = ending(raising(error))
    assert (status, out, err.strip()) == (130, "", "")


def test_wrong_usage_ends_with_2(ending):
    status, _, err = ending(lambda: None, "--no-such-option")
    assert status == 2
    assert err.splitlines() == [
        "fsx: No such option '--no-such-option'.",
        "     Usage: fsx [OPTIONS]  ('fsx --help' tells more)",
    ]

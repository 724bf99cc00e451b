"""docs/json.md has every field of every `--json` result.

Each result that tests get with `--json` is compared with it, too
(`tests.support.json_results`).
"""

from __future__ import annotations

import click
import pytest

import fsadmin.cli
import fsadmin.results
import fsclient.cli
import fsclient.results.table
from fskit.json_times import with_utc_times
from scripts.json_page import PAGE, page
from tests.support.json_results import checked


def names(command: click.Command, above: str = "") -> set[str]:
    """Return the names of the commands that do something by themselves."""
    if not isinstance(command, click.Group):
        return {above}
    found = {above} if command.invoke_without_command else set()
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        found |= names(child, f"{above} {name}".strip())
    return found


@pytest.mark.parametrize(
    ("command", "results"),
    [(fsclient.cli.cli, fsclient.results.table), (fsadmin.cli.command, fsadmin.results)],
)
def test_every_command_has_its_fields_or_none(command, results):
    declared = {name.partition(" --")[0] for name in results.RESULTS} | set(results.WITHOUT)
    assert names(command) - {""} == declared


def test_the_page_is_the_generated_one():
    assert PAGE.read_text() == page()


def test_a_field_that_is_not_on_the_page_is_found():
    assert checked("fsclient", ["du", "--json"], '[{"path": "/", "size": 1, "files": 1}]')
    with pytest.raises(AssertionError, match=r"docs/json.md lacks of fsclient du: .*size_human"):
        checked("fsclient", ["--json", "du", "x"], '[{"path": "/", "size_human": "1 B"}]')
    with pytest.raises(AssertionError, match="lacks of fsclient history"):
        checked("fsclient", ["history", "x"], '{"removed": {"name": "x", "by": "y"}}')


def test_each_time_has_its_text_in_utc():
    value = {
        "at_ms": 1_798_761_600_123,
        "list": [{"mtime_ns": -1_000_000}, {"mtime_ns": 0}],
        "held_until_ms": 0,
        "expires_ms": None,
        "far_ms": 1 << 62,
        "clock_ms": 5,
        "name": "x_ms",
    }
    assert with_utc_times(value) == {
        "at_ms": 1_798_761_600_123,
        "at_utc": "2027-01-01T00:00:00.123Z",
        "list": [
            {"mtime_ns": -1_000_000, "mtime_utc": "1969-12-31T23:59:59.999Z"},
            {"mtime_ns": 0, "mtime_utc": "1970-01-01T00:00:00.000Z"},
        ],
        "held_until_ms": 0,
        "held_until_utc": None,
        "expires_ms": None,
        "expires_utc": None,
        "far_ms": 1 << 62,
        "far_utc": None,
        "clock_ms": 5,
        "name": "x_ms",
    }

"""The commands about groups: output, exit statuses, JSON and confirmation questions."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.json_results import fields_of

GROUP = {"group", "note", "created_ms", "members"}


@pytest.fixture
def admin(admin):
    """Run fsadmin on a data directory with alice in `team` and anna in no group."""
    for command in (
        ("add-user", "anna"),
        ("add-group", "team", "--note", "the night shift"),
        ("add-member", "team", "alice"),
    ):
        assert admin(*command)[0] == 0
    return admin


COMMANDS: dict[tuple[str, ...], set[str]] = {
    ("add-group", "new", "--note", "what for"): GROUP,
    ("show-group", "team"): GROUP,
    ("add-member", "team", "anna"): GROUP,
    ("remove-member", "team", "alice"): GROUP,
    ("remove-group", "team", "--yes"): {"group", "removed"},
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_answers_people_and_programs(admin, command):
    status, out, err = admin(*command)
    assert (status, err) == (0, "")
    assert out
    assert not out.startswith("{")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_answers_programs(admin, command):
    status, out, err = admin(*command, "--json")
    assert (status, err) == (0, "")
    assert fields_of(json.loads(out)) == COMMANDS[command]


def test_groups_are_listed_and_shown(admin):
    admin("add-group", "another")
    header, *lines = admin("list-groups")[1].splitlines()
    assert [re.split("  +", line.strip()) for line in lines] == [
        ["another", "0"],
        ["team", "1", "the night shift"],
    ]
    assert header.split() == ["NAME", "PEOPLE", "NOTE"]
    told = json.loads(admin("list-groups", "--json")[1])
    assert [(one["group"], len(one["members"])) for one in told] == [("another", 0), ("team", 1)]
    assert told[1]["members"] == [
        {"user": "alice", "enrolled": False, "disabled": False, "expired": False}
    ]
    admin("disable-user", "alice")
    shown = admin("show-group", "team")[1]
    assert re.search("^Note +the night shift$", shown, re.MULTILINE)
    assert re.search("^alice +not enrolled, disabled$", shown, re.MULTILINE)
    for name in ("team", "another"):
        admin("remove-group", name, "--yes")
    assert "no groups yet" in admin("list-groups")[1]


def test_a_removal_is_asked_about_first(admin):
    status, out, err = admin("remove-group", "team")
    assert (status, out) == (2, "")
    assert "--yes" in err
    assert admin("show-group", "team")[0] == 0


def test_what_was_done_is_in_the_audit_log(admin):
    admin("remove-member", "team", "alice")
    admin("remove-group", "team", "--yes")
    log = admin("audit")[1]
    for event in ("group-added", "group-member-added", "group-member-removed", "group-removed"):
        assert re.search(rf"\b{event}\b.*@team", log), event
    assert admin("audit", "verify")[0] == 0
    of_alice = admin("audit", "--user", "alice")[1]
    assert "group-member-added" in of_alice
    assert "group-added" not in of_alice


@pytest.mark.cases(10)
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("show-group", "nothing"), 5),
        (("show-group", "\x1b[31mteam"), 5),
        (("remove-group", "nothing", "--yes"), 5),
        (("add-group", "team"), 8),
        (("add-group", "Te am"), 2),
        (("add-group", "new", "--note", "two\nlines"), 2),
        (("add-group",), 2),
        (("add-member", "team"), 2),
        (("add-member", "team", "anna", "alice"), 8),
        (("add-member", "team", "anna", "nobody"), 5),
        (("add-member", "nothing", "alice"), 5),
        (("remove-member", "team", "alice", "anna"), 5),
        (("remove-member", "team", "alice", "nobody"), 5),
        (("remove-member", "nothing", "alice"), 5),
    ],
    ids=lambda given: "-".join(given)[:40] if isinstance(given, tuple) else None,
)
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(admin, command, status):
    before = admin("list-groups", "--json")
    ended, out, err = admin(*command)
    assert (ended, out) == (status, "")
    assert err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert admin("list-groups", "--json") == before


def test_every_command_says_what_it_does(admin):
    for name in ("list-groups", *(command[0] for command in COMMANDS)):
        status, out, _ = admin(name, "--help")
        assert status == 0
        assert len(out.split("Options:")[0]) > 80

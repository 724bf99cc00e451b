"""Every fsadmin command without a running fsd: output, exit statuses, and `--json` anywhere."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.json_results import fields_of

PERSON = {
    "user",
    "devices",
    "handed_over_to",
    "holds",
    "enrolled",
    "disabled",
    "expires_ms",
    "expired",
    "note",
    "created_ms",
    "digits",
    "period",
    "algorithm",
    "fingerprint",
    "clock_ms",
    "refused_code_off_s",
    "refused_code_ms",
    "locked_ms",
    "refused_over_ssh",
    "held_until_ms",
    "new_secret_ms",
    "recovery_codes",
    "sessions",
    "files",
    "folders",
    "stored_bytes",
    "used_bytes",
    "quota_bytes",
    "quota_files",
}
GONE = {
    "user",
    "removed",
    "handed_over_to",
    "files",
    "folders",
    "stored_bytes",
    "shared",
    "shared_with",
}
HANDED_OVER = {"user", "secret", "otpauth_uri", "enroll_link"}


COMMANDS: dict[tuple[str, ...], set[str]] = {
    ("add-user", "bob"): HANDED_OVER,
    ("rotate-secret", "alice"): HANDED_OVER,
    ("rotate-secret", "alice", "--now"): HANDED_OVER,
    ("recovery-codes", "alice"): {"user", "recovery_codes"},
    ("unlock-user", "alice"): {"user", "unlocked"},
    ("revoke", "--user", "alice"): {"ended"},
    ("show-user", "alice"): PERSON | {"limits"},
    ("change-user", "alice", "--quota-bytes", "10G", "--note", "x"): PERSON,
    ("disable-user", "alice"): PERSON,
    ("enable-user", "alice"): PERSON,
    ("remove-user", "alice", "--yes"): GONE,
    ("host-key",): {"host_key", "ssh"},
    ("db", "current"): {"current", "head"},
    ("db", "upgrade"): {"before", "current", "head"},
}


@pytest.mark.cases(8)
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_may_stand_before_and_after_a_command(admin, command, place):
    status, out, err = admin("--json", *command) if place == "before" else admin(*command, "--json")
    assert (status, err) == (0, "")
    assert fields_of(json.loads(out)) == COMMANDS[command]


@pytest.mark.cases(5)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_json_a_command_speaks_to_people(admin, command):
    status, out, err = admin(*command)
    assert (status, err) == (0, "")
    assert out
    assert not out.startswith("{")


def test_json_may_stand_between_db_and_its_command(admin):
    assert set(json.loads(admin("db", "--json", "current")[1])) == {"current", "head"}


def test_the_list_in_json_is_an_array_of_people(admin):
    admin("add-user", "aaron")
    people = json.loads(admin("--json", "list-users")[1])
    assert [person["user"] for person in people] == ["aaron", "alice"]
    admin("remove-user", "aaron", "--yes")
    admin("remove-user", "alice", "--yes")
    assert json.loads(admin("list-users", "--json")[1]) == []
    assert all(fields_of(person) == PERSON for person in people)


def test_revoke_with_a_name_says_how_to_end_the_sessions_of_a_user(admin):
    status, out, err = admin("revoke", "alice")
    assert (status, out) == (2, "")
    assert "'alice' is not the number of a session" in err
    assert "--user NAME" in err


@pytest.mark.cases(10)
@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("show-user", "nobody"), 5),
        (("disable-user", "nobody"), 5),
        (("enable-user", "nobody"), 5),
        (("remove-user", "nobody", "--yes"), 5),
        (("rotate-secret", "nobody"), 5),
        (("recovery-codes", "nobody"), 5),
        (("unlock-user", "nobody"), 5),
        (("sessions", "--user", "nobody"), 5),
        (("revoke", "--user", "nobody"), 5),
        (("revoke", "4711"), 5),
        (("revoke",), 2),
        (("revoke", "0"), 2),
        (("revoke", "one"), 2),
        (("revoke", "1", "--user", "alice"), 2),
        (("reset-keys", "nobody", "--yes"), 5),
        (("reset-keys", "alice", "--yes"), 5),
        (("show-user", "\x1b[31malice"), 5),
        (("add-user", "alice"), 8),
        (("add-user", "Alice"), 2),
        (("add-user", "a b"), 2),
        (("add-user", ""), 2),
        (("add-user", "../../etc"), 2),
        (("add-user", "x" * 65), 2),
        (("add-user", "bob", "--digits", "5"), 2),
        (("add-user", "bob", "--digits", "six"), 2),
        (("add-user", "bob", "--period", "14"), 2),
        (("add-user", "bob", "--period", "121"), 2),
        (("add-user", "bob", "--algorithm", "MD5"), 2),
        (("add-user", "bob", "--host", "a:b:c"), 2),
        (("add-user", "bob", "--host", "here:99999"), 2),
        (("add-user", "bob", "--host", "bob@here"), 2),
        (("add-user", "bob", "--host", "he re"), 2),
        (("add-user", "bob", "--host", "here/there"), 2),
        (("add-user", "bob", "--host", ""), 2),
        (("add-user", "bob", "--issuer", ""), 2),
        (("add-user", "bob", "--issuer", "a:b"), 2),
        (("add-user", "bob", "--issuer", "a\nb"), 2),
        (("add-user",), 2),
        (("no-such-command",), 2),
        (("db",), 2),
        ((), 2),
        (("remove-user", "alice"), 2),
        (("reset-keys", "alice"), 2),
    ],
    ids=lambda given: "-".join(given)[:40] if isinstance(given, tuple) else None,
)
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(admin, command, status):
    before = admin("list-users", "--json")
    ended, out, err = admin(*command)
    assert (ended, out) == (status, "")
    assert err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert admin("list-users", "--json") == before


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("show-user", "nobody"), "not-found"),
        (("add-user", "alice"), "exists"),
        (("add-user", "bob", "--algorithm", "MD5"), "usage"),
        (("add-user",), "usage"),
        (("no-such-command",), "usage"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, tuple) else "",
)
def test_errors_are_json_for_programs(admin, command, code):
    _, without, told = admin(*command)
    _, out, err = admin(*command, "--json")
    assert without == ""
    assert err == told
    error = json.loads(out)
    assert set(error) == {"error", "message", "hint"}
    assert error["error"] == code
    assert told.startswith(f"fsadmin: {error['message']}\n")


def test_the_secret_is_shown_once_and_never_again(admin):
    secret = json.loads(admin("rotate-secret", "alice", "--json")[1])["secret"]
    for command in (
        ("list-users",),
        ("show-user", "alice"),
        ("show-user", "alice", "--json"),
        ("disable-user", "alice"),
        ("enable-user", "alice", "--json"),
        ("rotate-secret", "alice"),
    ):
        status, out, err = admin(*command)
        assert status == 0
        assert secret not in out + err


def test_a_misspelled_name_is_recognised(admin):
    for command in (("show-user",), ("disable-user",), ("add-member", "team")):
        admin("add-group", "team")
        assert "Did you mean 'alice'?" in admin(*command, "alise")[2]
    assert "Did you mean" not in admin("show-user", "zebra")[2]


def test_an_enabled_or_unlocked_account_that_still_cannot_log_in_is_reported(admin):
    admin("change-user", "alice", "--expires", "2020-01-01")
    expired = "expired ('fsadmin change-user alice --expires none' ends this)"
    assert admin("enable-user", "alice")[1] == f"alice is enabled, but still {expired}.\n"
    admin("disable-user", "alice")
    told = admin("unlock-user", "alice")[1]
    disabled = "disabled ('fsadmin enable-user alice' ends this)"
    assert told == f"alice is not locked, but still {disabled} and {expired}.\n"
    admin("change-user", "alice", "--expires", "none")
    assert admin("enable-user", "alice")[1] == "alice is enabled.\n"


def names(admin, *options):
    return [person["user"] for person in json.loads(admin("list-users", *options, "--json")[1])]


def test_accounts_are_filtered_by_state_and_sorted(admin):
    admin("add-user", "bob", "--expires", "2999-01-01", "--quota-bytes", "10G")
    admin("add-user", "carol", "--expires", "2998-01-01", "--note", "n" * 200)
    admin("disable-user", "bob")
    assert names(admin) == ["alice", "bob", "carol"]
    assert names(admin, "--sort", "expires") == ["carol", "bob", "alice"]
    assert names(admin, "--sort", "created") == ["carol", "bob", "alice"]
    assert names(admin, "--state", "disabled") == ["bob"]
    assert names(admin, "--state", "disabled", "--state", "not-enrolled") == names(admin)
    assert names(admin, "--state", "locked") == []
    assert admin("list-users", "--state", "locked")[1] == "No account is in that state.\n"
    assert admin("list-users", "--state", "asleep")[0] == 2
    shown = admin("list-users", "--sort", "expires")[1]
    header, carol, bob, *_ = shown.splitlines()
    assert header.split() == ["NAME", "STATE", "USED", "QUOTA", "EXPIRES", "NOTE"]
    assert re.search(r"not enrolled, disabled +0 B +10.0 GiB +2999-01-01$", bob)
    assert re.search(r"not enrolled +0 B +- +2998-01-01 +n+…$", carol)
    assert max(map(len, shown.splitlines())) <= 80


def test_people_read_a_table(admin):
    admin("remove-user", "alice", "--yes")
    assert admin("list-users")[1] == "There are no users yet; 'fsadmin add-user NAME' makes one.\n"
    admin("add-user", "al", "--digits", "8", "--period", "60", "--algorithm", "sha256")
    admin("add-user", "a-much-longer-name")
    admin("disable-user", "al")
    header, *lines, _, totals = admin("list-users", "--long")[1].splitlines()
    assert [re.split("  +", line) for line in lines] == [
        ["a-much-longer-name", "not enrolled", "6 digits, 30 s, SHA1", "0", "0", "0 B", "-", "-"],
        ["al", "not enrolled, disabled", "8 digits, 60 s, SHA256", "0", "0", "0 B", "-", "-"],
    ]
    assert totals == "2 users (2 not enrolled, 1 disabled), 0 B used"
    for name in ("STATE", "CODES", "FINGERPRINT"):
        assert all(line[header.index(name) - 1] == " " for line in lines)
        assert all(line[header.index(name)] != " " for line in lines)
    shown = admin("show-user", "al")[1]
    assert shown.splitlines()[:4] == [
        "User         al",
        "State        not enrolled, disabled",
        "Fingerprint  -",
        "Codes        8 digits, 60 s, SHA256",
    ]


def test_every_command_says_what_it_does(admin):
    for command in (*COMMANDS, ("list-users",), ("reset-keys",), ("sessions",), ("db",)):
        words = [
            word for word in command if word not in ("alice", "bob", "--yes", "--now", "--user")
        ]
        status, out, _ = admin(*words, "--help")
        assert status == 0
        assert len(out.split("Options:")[0]) > 80


def test_recovery_codes_are_shown_once_and_their_number_afterwards(admin):
    codes = json.loads(admin("recovery-codes", "alice", "--json")[1])["recovery_codes"]
    assert len(codes) == 10
    shown = admin("show-user", "alice")[1]
    assert "Recovery     10 codes left" in shown
    for command in (("show-user", "alice"), ("audit",), ("list-users",)):
        told = "".join(admin(*command)[1:])
        assert not any(code in told for code in codes)
    printed = admin("recovery-codes", "alice")[1].splitlines()
    assert [line.split()[0] for line in printed if line.startswith("  ")] == [
        str(number) for number in range(1, 11)
    ]


def test_without_sessions_it_says_so(admin):
    assert admin("sessions")[1] == "There are no sessions.\n"
    assert admin("sessions", "--user", "alice")[1] == "alice is not logged in.\n"
    assert json.loads(admin("sessions", "--json")[1]) == []


def test_a_new_secret_that_waits_is_shown(admin):
    admin("rotate-secret", "alice")
    assert "a new secret waits for its first use since" in admin("show-user", "alice")[1]
    admin("rotate-secret", "alice", "--now")
    assert "Logins       not locked" in admin("show-user", "alice")[1]


def test_an_account_is_shown_with_its_limits_and_what_it_uses(admin):
    told = admin("show-user", "alice")[1]
    assert "Nodes        0 of 1000000" in told
    assert "48 connections, 8 requests, 100 sessions, 5 key rotations a day, 1000 shares" in told
    limits = json.loads(admin("show-user", "alice", "--json")[1])["limits"]
    assert limits["nodes"] == {"used": 0, "most": 1_000_000}
    assert limits["kept_bytes"] == {"used": 0, "most": None}


def test_links_are_shown_again_for_one_or_all(admin):
    made = json.loads(admin("add-user", "bob", "--host", "files.example:7", "--json")[1])
    shown = admin("link", "bob", "--host", "files.example:7")[1]
    assert shown == f"{made['enroll_link']}\n"
    both = json.loads(admin("link", "--all", "--json", "--host", "files.example:7")[1])
    assert [one["user"] for one in both] == ["alice", "bob"]
    assert both[1] == {"user": "bob", "enroll_link": made["enroll_link"]}
    for wrong in ((), ("bob", "--all")):
        status, _, err = admin("link", *wrong)
        assert (status, "Name the users, or give --all." in err) == (2, True)
    assert admin("link", "nobody")[0] == 5

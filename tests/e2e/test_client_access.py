"""Access of people to their own accounts: recovery codes, a new secret, sessions, warnings."""

from __future__ import annotations

import time

import pyotp
import pytest

from tests.support.client_processes import LOGIN, USAGE, Client, Terminal, admin
from tests.support.servers import code


@pytest.fixture
def alice(newcomer) -> Client:
    """An enrolled person for this test alone."""
    person: Client = newcomer()
    return person.enrol()


def test_recovery_codes_are_made_and_each_logs_in_once(alice):
    made = alice.run("recovery-codes", "--json", "--otp", alice.app.fresh()).ok().json()
    codes = made["recovery_codes"]
    assert len(codes) == 10
    alice.quick("login", "--otp", codes[0]).ok()
    alice.run("login", "--otp", codes[0].lower()).fails(LOGIN)
    alice.quick("login", "--otp", codes[1].replace("-", "").lower()).ok()
    assert admin(alice.server, "show-user", alice.name)["recovery_codes"] == 8


def test_recovery_codes_of_the_administrator_enrol_a_person(newcomer):
    bob = newcomer()
    codes = admin(bob.server, "recovery-codes", bob.name)["recovery_codes"]
    bob.run("enroll", bob.link, "--no-passphrase", "--otp", codes[7]).ok()
    bob.quick("ls").ok()


def test_making_recovery_codes_needs_a_code_though_a_session_runs(alice):
    alice.run("recovery-codes").fails(LOGIN, "one-time password")
    alice.run("recovery-codes", "--otp", "000000").fails(LOGIN, "The code was refused: it is")
    alice.run("recovery-codes", "--otp", "ABC").fails(USAGE, "recovery code")
    assert admin(alice.server, "show-user", alice.name)["recovery_codes"] == 0


def test_few_remaining_codes_cause_a_notice(alice):
    codes = admin(alice.server, "recovery-codes", alice.name)["recovery_codes"]
    for number, each in enumerate(codes[:7]):
        told = alice.quick("login", "--otp", each).ok().err
        assert ("3 recovery codes left" in told) == (number == 6)


def test_a_new_secret_is_scanned_and_confirmed_on_the_terminal(alice):
    with Terminal(alice, "otp", "rotate", "--otp", alice.app.fresh(), columns=100) as terminal:
        terminal.wait_for("type the secret: ")
        secret = terminal.shown.split("type the secret: ")[1].split()[0]
        assert "\u2588" in terminal.shown  # the QR code
        terminal.wait_for("Code that the new entry shows: ")
        terminal.type(f"{alice.app.fresh()}\r")  # a code of the old secret
        terminal.wait_for("does not belong to the new secret")
        terminal.wait_for("Code that the new entry shows: ")
        terminal.type(f"{pyotp.TOTP(secret).now()}\r")
        terminal.wait_for("refused from now on")
        assert terminal.ends() == 0
    alice.run("login", "--otp", code(alice.added["secret"], 1)).fails(LOGIN)
    alice.quick("login", "--otp", pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + 1)).ok()


def test_without_a_terminal_the_first_code_of_the_new_secret_ends_the_old_one(alice):
    alice.new_secret()
    made = alice.quick("otp", "rotate", "--json", "--otp", alice.app.fresh()).ok().json()
    assert made["confirmed"] is False
    assert made["secret"] in made["otpauth_uri"]
    alice.quick("login", "--otp", alice.app.fresh()).ok()
    alice.quick("login", "--otp", pyotp.TOTP(made["secret"]).now()).ok()
    alice.run("login", "--otp", alice.app.fresh()).fails(LOGIN)


def test_without_a_confirmation_the_old_secret_stays(alice):
    with Terminal(alice, "otp", "rotate", "--otp", alice.app.fresh()) as terminal:
        for _ in range(3):
            terminal.wait_for("Code that the new entry shows: ")
            terminal.type("000000\r")
        terminal.wait_for("the old one stays valid")
        assert terminal.ends() == LOGIN
    alice.quick("login", "--otp", alice.app.fresh()).ok()


def test_sessions_are_shown_and_ended_everywhere(alice):
    alice.quick("login", "--otp", alice.app.fresh()).ok()
    first, second = alice.quick("sessions", "--json").ok().json()
    assert (first["this"], second["this"]) == (False, True)
    assert first["address"] == "127.0.0.1"
    assert [line[0] for line in alice.quick("sessions").ok().lines[::3]] == [" ", "*"]
    alice.quick("logout", "--everywhere").ok()
    assert admin(alice.server, "sessions", "--user", alice.name) == []
    alice.run("ls").fails(LOGIN)


def test_a_session_that_the_administrator_revoked_has_ended(alice):
    (session,) = admin(alice.server, "sessions", "--user", alice.name)
    assert admin(alice.server, "revoke", str(session["session"])) == {"ended": 1}
    alice.run("ls").fails(LOGIN)


def test_the_administrator_unlocks_a_locked_account(alice):
    for guess in range(5):
        alice.run("login", "--otp", f"{guess:06}").fails(LOGIN)
    right = alice.app.fresh()
    alice.run("login", "--otp", right).fails(LOGIN)
    admin(alice.server, "unlock-user", alice.name)
    alice.quick("login", "--otp", right).ok()


def test_a_right_code_without_the_key_is_reported_at_the_next_command(alice, newcomer):
    thief = newcomer()
    # A thief with the secret tries to enrol under the name of an enrolled person.
    code_now = alice.app.fresh()
    thief.run("enroll", alice.link, "--no-passphrase", "--otp", code_now).fails(LOGIN)
    told = alice.quick("ls").ok().err
    assert "Somebody without your identity key gave a right one-time password" in told
    assert "otp rotate" in told
    assert alice.quick("ls").ok().err == ""
    events = admin(alice.server, "audit", "--user", alice.name)
    assert "code-without-key" in [entry["event"] for entry in events]

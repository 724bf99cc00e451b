"""Nobody passes the SSH listener without a code: every method, in every order, and every trick.

Known from: SFTPGo #2047 (a second factor that one method did not require); CVE-2018-10933 of libssh
and CVE-2018-7750 of paramiko (opening a channel without logging in).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest
from paramiko.common import (
    cMSG_USERAUTH_INFO_RESPONSE,
    cMSG_USERAUTH_REQUEST,
    cMSG_USERAUTH_SUCCESS,
)

from tests.support.client_processes import Client, admin
from tests.support.ssh_servers import (
    REFUSAL_S,
    SshServer,
    Visitor,
    give_code,
    is_in,
    new_key,
)
from tests.support.world import until

METHODS = ("none", "password", "publickey", "keyboard-interactive")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    door = SshServer.start(tmp_path_factory.mktemp("ssh") / "home")
    with door.server:
        yield door


@pytest.fixture
def alice(door: SshServer, tmp_path: Path) -> Visitor:
    return Visitor.enrolled(door.server, f"alice{tmp_path.name[-6:]}".lower(), tmp_path / "alice")


def told(transport: paramiko.Transport, method: str, user: str, secret: str, key) -> str:
    """Try one method; return the server's answer to the client."""
    try:
        match method:
            case "none":
                left = transport.auth_none(user)
            case "password":
                left = transport.auth_password(user, secret, fallback=False)
            case "publickey":
                left = transport.auth_publickey(user, key)
            case _:
                left = give_code(transport, user, secret)
    except paramiko.BadAuthenticationType as error:
        return f"refused, left are {error.allowed_types}"
    except (paramiko.AuthenticationException, paramiko.SSHException, EOFError) as error:
        return f"{type(error).__name__}"
    return f"half, left are {left}" if left else "in"


SEQUENCES = [
    sequence for length in (1, 2, 3) for sequence in itertools.product(METHODS, repeat=length)
]


@pytest.mark.cases(2)
@pytest.mark.parametrize("first", METHODS)
def test_no_method_and_no_order_of_methods_gets_past_the_code(door, alice, first):
    right, key = alice.code(), alice.key

    def tried(sequence: tuple[str, ...]) -> None:
        answers = []
        for user in (alice.name, "nobody"):
            with door.transport() as transport:
                said = [
                    # The right code is not accepted as a password.
                    told(transport, method, user, right if method == "password" else "000000x", key)
                    for method in sequence
                ]
                assert "in" not in said, sequence
                assert not is_in(transport), sequence
                answers.append(said)
        # The answers do not reveal whether the user exists.
        assert answers[0] == answers[1], sequence

    sequences = [sequence for sequence in SEQUENCES if sequence[0] == first]
    assert len(sequences) == 1 + 4 + 16
    with ThreadPoolExecutor(6) as at_once:  # most of the time the clients wait for a refusal
        list(at_once.map(tried, sequences))
    with door.transport() as transport:
        give_code(transport, alice.name, right)  # the code was not consumed
        assert is_in(transport)


@pytest.mark.parametrize("before", [*((method,) for method in METHODS[:3]), METHODS[:3]])
def test_the_right_code_logs_in_after_any_other_method(door, alice, before):
    with door.transport() as transport:
        for method in before:
            told(transport, method, alice.name, "x", alice.key)
        give_code(transport, alice.name, alice.code())
        assert is_in(transport)


def test_a_key_with_a_session_gets_in_alone_and_nothing_else_does(door, alice, tmp_path):
    with door.transport() as transport:
        assert transport.auth_publickey(alice.name, alice.key) == ["keyboard-interactive"]
        give_code(transport, alice.name, alice.code())
    with door.transport() as transport:
        assert transport.auth_publickey(alice.name, alice.key) == []
        assert is_in(transport)
    other = new_key(tmp_path)
    with door.transport() as transport:
        assert transport.auth_publickey(alice.name, other) == ["keyboard-interactive"]
        assert not is_in(transport)
    with door.transport() as transport:  # the same for her own key under another name
        assert transport.auth_publickey("nobody", alice.key) == ["keyboard-interactive"]
        assert not is_in(transport)


def test_a_code_without_a_key_starts_no_session_that_can_be_resumed(door, alice):
    with door.transport() as transport:
        give_code(transport, alice.name, alice.code())
        assert is_in(transport)
        assert door.doors(alice.name) == ["native", "ssh"]
    until(lambda: door.doors(alice.name) == ["native"], "the session ended with its connection")
    with door.transport() as transport:
        assert transport.auth_publickey(alice.name, alice.key) == ["keyboard-interactive"]


class Forged(paramiko.PKey):  # type: ignore[misc]
    """A person's public key, with signatures by another key."""

    def __init__(self, shown: paramiko.Ed25519Key, signs: paramiko.Ed25519Key) -> None:
        self._shown = shown
        self._signs = signs
        self.public_blob = None

    def get_name(self) -> str:
        return "ssh-ed25519"

    def asbytes(self) -> bytes:
        return bytes(self._shown.asbytes())

    def can_sign(self) -> bool:
        return True

    def sign_ssh_data(self, data, algorithm=None):
        return self._signs.sign_ssh_data(data, algorithm)


def test_a_public_key_without_its_signature_is_of_no_use(door, alice, tmp_path):
    with door.transport() as transport:
        transport.auth_publickey(alice.name, alice.key)
        give_code(transport, alice.name, alice.code())
    forged = Forged(alice.key, new_key(tmp_path))
    with door.transport() as transport:
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey(alice.name, forged)
        assert not is_in(transport)
    # The next session is not bound to the forged key either, after a login with a code.
    mallory = Visitor.enrolled(door.server, f"m{alice.name}", tmp_path / "mallory")
    with door.transport() as transport:
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_publickey(mallory.name, forged)
        give_code(transport, mallory.name, mallory.code())
    until(lambda: door.doors(mallory.name) == ["native"], "that session was bound to no key")


class Spoken:
    """A client's transport that sends single messages and looks at the answers."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self.transport = transport
        self.came: list[int] = []
        read = transport.packetizer.read_message

        def reading():
            kind, message = read()
            self.came.append(kind)
            return kind, message

        transport.packetizer.read_message = reading
        with pytest.raises(paramiko.BadAuthenticationType):
            transport.auth_none("someone")  # this also requests the service
        self.came.clear()

    def say(self, *parts: bytes | str | bool | int) -> None:
        message = paramiko.Message()
        message.add_byte(parts[0])
        for part in parts[1:]:
            if isinstance(part, bool):
                message.add_boolean(part)
            elif isinstance(part, int):
                message.add_int(part)
            else:
                message.add_string(part)
        self.transport._send_message(message)

    def answer(self) -> int:
        until(lambda: self.came or not self.transport.is_active(), "there is an answer")
        return self.came.pop(0) if self.came else 0


def test_a_public_key_without_proof_is_accepted_as_a_query_and_logs_no_one_in(door, alice):
    with door.transport() as transport:
        transport.auth_publickey(alice.name, alice.key)
        give_code(transport, alice.name, alice.code())
    for key in (alice.key, paramiko.RSAKey.generate(2048)):
        with door.transport() as transport:
            spoken = Spoken(transport)
            algorithm = "ssh-ed25519" if key is alice.key else "rsa-sha2-256"
            spoken.say(cMSG_USERAUTH_REQUEST, "someone", "ssh-connection", "publickey", False,
                       algorithm, key.asbytes())  # fmt: skip
            assert spoken.answer() == 60  # SSH_MSG_USERAUTH_PK_OK
            assert not is_in(transport)


@pytest.mark.parametrize(
    ("algorithm", "blob"),
    [("ssh-dss", b"a key of old"), ("ssh-rsa", b""), ("sk-ssh-ed25519@openssh.com", b"a token's"),
     ("ssh-ed25519", b"\xff" * 60_000)],
)  # fmt: skip
def test_a_key_that_cannot_be_read_is_refused_and_a_code_still_asked_for(door, algorithm, blob):
    with door.transport() as transport:
        spoken = Spoken(transport)
        spoken.say(cMSG_USERAUTH_REQUEST, "someone", "ssh-connection", "publickey", False,
                   algorithm, blob)  # fmt: skip
        assert spoken.answer() == 51  # SSH_MSG_USERAUTH_FAILURE
        assert transport.is_active()


def test_a_weak_key_is_refused(door, alice):
    with door.transport() as transport, pytest.raises(paramiko.AuthenticationException):
        transport.auth_publickey(alice.name, paramiko.RSAKey.generate(1024))


@pytest.mark.parametrize("count", [0, 1, 2, 2**32 - 1])
def test_an_answer_without_a_question_logs_no_one_in(door, alice, count):
    with door.transport() as transport:
        spoken = Spoken(transport)
        spoken.say(cMSG_USERAUTH_INFO_RESPONSE, count, *[alice.codes[0]] * min(count, 2))
        assert spoken.answer() == 51
        assert not is_in(transport)
    assert admin(door.server, "show-user", alice.name)["recovery_codes"] == 10


def test_a_client_that_says_it_has_succeeded_has_not(door):
    with door.transport() as transport:
        spoken = Spoken(transport)
        spoken.say(cMSG_USERAUTH_SUCCESS)
        assert not is_in(transport)


def test_who_changes_the_name_in_between_is_shown_out(door, alice):
    with door.transport() as transport:
        spoken = Spoken(transport)
        spoken.say(cMSG_USERAUTH_REQUEST, alice.name, "ssh-connection", "none")
        until(lambda: not transport.is_active(), "the connection ended")


def test_a_wrong_code_three_times_ends_the_connection(door, alice):
    with door.transport() as transport:
        answers = [told(transport, METHODS[3], alice.name, "000000x", None) for _ in range(3)]
        assert answers[0] == answers[1]
        until(lambda: not transport.is_active(), "the connection ended")
    assert [detail for event, detail in door.events(alice.name) if event == "login-refused"] == [
        "door=ssh, wrong code"
    ] * 3


@pytest.mark.long
def test_neither_words_nor_time_tell_why_a_code_is_refused(door, alice, tmp_path):
    gone, never = (
        Visitor.enrolled(door.server, f"gone{alice.name}", tmp_path / "gone"),
        Client(door.server, f"never{alice.name}", tmp_path / "never"),
    )
    admin(door.server, "disable-user", gone.name)
    used = alice.code()
    with door.transport() as transport:
        give_code(transport, alice.name, used)
    reasons = {
        "unknown": ("nobody", "123456"),
        "wrong": (alice.name, "000000x"),
        "used": (alice.name, used),
        "disabled": (gone.name, gone.codes[0]),
        "not enrolled": (never.name, never.app.fresh()),
        "impossible": ("/" * 1000, "123456"),
        "no code": (alice.name, ""),
    }
    said = set()

    def tried(_round: int) -> dict[str, float]:
        times = {}
        for reason, (user, code) in reasons.items():
            with door.transport() as transport:
                told(transport, "none", user, "", None)
                asked = time.monotonic()
                said.add(told(transport, METHODS[3], user, code, None))
                times[reason] = time.monotonic() - asked
        return times

    rounds: list[dict[str, float]] = []
    for _ in range(12):
        with ThreadPoolExecutor(4) as at_once:  # most of the time the clients wait for a refusal
            rounds += at_once.map(tried, range(4))
        # A loaded machine only adds to a time: the fastest answers are compared, and while they
        # differ by more, it is tried again.
        fastest = {reason: min(times[reason] for times in rounds) for reason in reasons}
        if max(fastest.values()) - min(fastest.values()) < REFUSAL_S / 4:
            break
    assert len(said) == 1
    assert min(fastest.values()) >= REFUSAL_S
    assert max(fastest.values()) - min(fastest.values()) < REFUSAL_S / 4, fastest


def test_requests_without_end_end_the_connection(door, alice):
    with door.transport() as transport:
        spoken = Spoken(transport)
        asked = 0
        while transport.is_active() and asked < 100:
            spoken.say(cMSG_USERAUTH_REQUEST, "someone", "ssh-connection", "publickey", False,
                       "ssh-ed25519", alice.key.asbytes())  # fmt: skip
            spoken.answer()
            asked += 1
        assert asked < 30


def test_a_code_works_at_one_listener_only(door, tmp_path):
    folder = tmp_path / "eve"
    eve = Client(door.server, f"eve{tmp_path.name[-6:]}".lower(), folder)
    code = eve.app.fresh()
    # Before the enrolment, the login is refused and the code is not consumed.
    with door.transport() as transport:
        assert told(transport, METHODS[3], eve.name, code, None) != "in"
    eve.quick("enroll", eve.link, "--no-passphrase", "--otp", code).ok()
    with door.transport() as transport:
        assert told(transport, METHODS[3], eve.name, code, None) != "in"
        code = eve.app.fresh()
        assert told(transport, METHODS[3], eve.name, code, None) == "in"
    assert eve.quick("login", "--otp", code).status == 4
    reasons = [detail for event, detail in door.events(eve.name) if event == "login-refused"]
    assert reasons == ["door=ssh, not enrolled", "door=ssh, code used before", "code used before"]


@pytest.mark.parametrize("end", ["revoke", "logout", "disable"])
def test_the_end_of_a_session_ends_its_connections_and_its_key(door, alice, end):
    with door.transport() as transport:
        transport.auth_publickey(alice.name, alice.key)
        give_code(transport, alice.name, alice.code())
        assert is_in(transport)
        shown = admin(door.server, "sessions", "--user", alice.name)
        (number,) = [each["session"] for each in shown if each["door"] != "native"]
        if end == "revoke":
            admin(door.server, "revoke", str(number))
        elif end == "logout":
            alice.client.quick("logout", "--everywhere").ok()
        else:
            admin(door.server, "disable-user", alice.name)
        until(lambda: not transport.is_active(), "the connection ended")
    with door.transport() as transport:
        assert transport.auth_publickey(alice.name, alice.key) == ["keyboard-interactive"]
        assert not is_in(transport)

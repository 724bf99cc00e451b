"""A login that the client would refuse uses no code: the server says before that it is behind."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fsproto.errors import BehindError, LoginRefused, RemoteProtocolError
from fsproto.keylog.head import KeyLogHead, pack_log_head
from fsproto.messages.account import LastSeen, Login, Welcome
from fsproto.packing import unpack
from fsproto.sealed.folder import FolderState, state_hash
from tests.support.services import ADDRESS, CHANNEL, Clock, Services, ServiceUser


@pytest.fixture
def alice(office: Services, clock: Clock) -> ServiceUser:
    """A user who enrolled with the previous code."""
    person = office.add("alice")
    person.enrol(office, clock(), -1)
    return person


def enter(office: Services, ask: Login) -> Welcome:
    return office.accounts.login(ask, CHANNEL, ADDRESS)[1]


@pytest.fixture
def seen(office: Services, alice: ServiceUser) -> LastSeen:
    """The newest that alice's device has seen, three versions of her tree later."""
    for name in "abc":
        alice.put(office, name, b"sealed " + name.encode())
    welcome = enter(office, alice.login(ticket=alice.ticket))
    head = unpack(welcome.log.payload, KeyLogHead)
    state = unpack(welcome.tree.state.payload, FolderState)
    assert (head.size, state.version) == (1, 4)
    log = pack_log_head(head.size, head.root)
    return LastSeen(log, state.version, state_hash(welcome.tree.state))


def changed_log(seen: LastSeen, by: int) -> LastSeen:
    size, root = int.from_bytes(seen.log[:8], "big"), seen.log[8:]
    return replace(seen, log=(size + by).to_bytes(8, "big") + root)


def test_a_server_that_is_not_behind_takes_the_code(office, alice, clock, seen):
    assert enter(office, alice.login(alice.code(clock()), seen=seen)).ticket


def test_a_device_that_has_seen_older_versions_logs_in(office, alice, clock, seen):
    alice.put(office, "d", b"sealed d")
    assert enter(office, alice.login(alice.code(clock()), seen=seen)).ticket


def test_a_device_that_has_seen_another_older_version_uses_no_code(office, alice, clock, seen):
    alice.put(office, "d", b"sealed d")
    code = alice.code(clock())
    with pytest.raises(BehindError, match="OLDER STATE"):
        enter(office, alice.login(code, seen=replace(seen, hash=bytes(32))))
    assert enter(office, alice.login(code, seen=seen)).ticket


@pytest.mark.parametrize("nothing", [LastSeen(b"", 0, b""), None])
def test_a_device_that_has_seen_nothing_logs_in(office, alice, clock, nothing):
    assert enter(office, alice.login(alice.code(clock()), seen=nothing)).ticket


BEHIND = {
    "a longer log": lambda seen: changed_log(seen, 1),
    "a log of the largest size": lambda seen: changed_log(seen, 2**64 - 2),
    "another log": lambda seen: replace(seen, log=seen.log[:-1] + bytes([seen.log[-1] ^ 1])),
    "a newer state": lambda seen: replace(seen, version=seen.version + 1),
    "the newest state there can be": lambda seen: replace(seen, version=2**63 - 1),
    "another state": lambda seen: replace(seen, hash=bytes(32)),
}


@pytest.mark.cases(4)
@pytest.mark.parametrize("newer", BEHIND)
@pytest.mark.parametrize("kind", ["one-time password", "recovery code"])
def test_a_server_that_is_behind_uses_no_code(office, alice, clock, seen, newer, kind):
    code = alice.code(clock())
    if kind == "recovery code":
        (code, *_) = office.access.recovery_codes("alice")
    for _ in range(10):  # no throttle counts them
        with pytest.raises(BehindError, match="OLDER"):
            enter(office, alice.login(code, seen=BEHIND[newer](seen)))
    assert enter(office, alice.login(code, seen=seen)).ticket


def test_only_the_identity_key_hears_that_the_server_is_behind(office, alice, clock, seen):
    thief = replace(
        alice.login(alice.code(clock()), seen=changed_log(seen, 1)), signature=bytes(64)
    )
    with pytest.raises(LoginRefused):
        enter(office, thief)
    with pytest.raises(LoginRefused):
        enter(office, replace(thief, user="nobody"))


@pytest.mark.parametrize("log", [b"x", bytes(39), bytes(41)])
def test_a_malformed_log_head_uses_no_code(office, alice, clock, seen, log):
    code = alice.code(clock())
    with pytest.raises(RemoteProtocolError):
        enter(office, alice.login(code, seen=replace(seen, log=log)))
    assert enter(office, alice.login(code, seen=seen)).ticket


def test_with_a_ticket_the_client_decides_alone(office, alice, seen):
    welcome = enter(office, alice.login(ticket=alice.ticket, seen=changed_log(seen, 1)))
    assert welcome.user == "alice"

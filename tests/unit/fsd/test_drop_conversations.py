"""The drop box as an SFTP server, packet by packet: what stock clients rarely or never send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsd.net.dropbox.sftp_session import MAX_HANDLES, Conversation
from fsd.services.drops.incoming import WINDOW
from fsd.services.drops.service import LINGER_MS
from fskit.sftp.codes import Ask, Open, Status, Tell
from fskit.sftp.packets import Attributes, BadPacketError, Fields, Packets, packet, string, u32, u64
from tests.support.drops import BY_CODE, SCANNER, enter, inbox
from tests.support.services import Office, Resident

NEW = Open.WRITE | Open.CREATE | Open.TRUNCATE
NONE = Attributes().packed()


@pytest.fixture
def alice(office, clock) -> Resident:
    made: Resident = office.add("alice")
    made.enrol(office, clock())
    return made


@dataclass
class Sftp:
    """A client that says exactly what it is told to."""

    office: Office
    person: Resident
    session: str = ""
    conversation: Conversation = field(init=False)

    def __post_init__(self) -> None:
        self.box = self.office.drops.enter(self.person.name, SCANNER, self.session)
        self.conversation = Conversation(self.box, lambda: 1_700_000_000.0)
        answer = self.conversation.feed(packet(Ask.INIT, u32(3)))
        assert answer[4] == Tell.VERSION

    def ask(self, kind: int, *parts: bytes) -> tuple[int, Fields]:
        """Ask; return the kind of the answer and its fields behind the request's number."""
        (told,) = Packets().feed(self.conversation.feed(packet(kind, u32(7), *parts)))
        fields = Fields(told[1:])
        assert fields.u32() == 7
        return told[0], fields

    def status(self, kind: int, *parts: bytes) -> Status:
        told, fields = self.ask(kind, *parts)
        assert told == Tell.STATUS
        code = Status(fields.u32())
        assert fields.text()
        return code

    def open(self, name: str, flags: Open = NEW) -> bytes:
        told, fields = self.ask(Ask.OPEN, string(name), u32(flags), NONE)
        assert told == Tell.HANDLE, fields.u32()
        return string(bytes(fields.string()))

    def write(self, handle: bytes, offset: int, data: bytes) -> Status:
        return self.status(Ask.WRITE, handle, u64(offset), string(data))

    def put(self, name: str, data: bytes) -> None:
        handle = self.open(name)
        assert self.write(handle, 0, data) is Status.OK
        assert self.status(Ask.CLOSE, handle) is Status.OK

    def names(self, path: str) -> list[str]:
        told, fields = self.ask(Ask.OPENDIR, string(path))
        if told == Tell.STATUS:
            raise FileNotFoundError
        handle = string(bytes(fields.string()))
        found: list[str] = []
        while True:
            told, fields = self.ask(Ask.READDIR, handle)
            if told == Tell.STATUS:
                assert fields.u32() == Status.EOF
                assert self.status(Ask.CLOSE, handle) is Status.OK
                return found
            for _ in range(fields.u32()):
                found.append(fields.text())
                fields.text()
                fields.attributes()

    def stat(self, path: str) -> Attributes | Status:
        told, fields = self.ask(Ask.STAT, string(path))
        return fields.attributes() if told == Tell.ATTRS else Status(fields.u32())


@pytest.fixture
def sftp(office, alice) -> Sftp:
    return Sftp(office, alice)


def test_what_is_written_and_closed_is_a_drop_and_shown_with_its_size(sftp, office, alice):
    sftp.put("a/b.txt", b"content")
    assert inbox(office, alice) == {"a/b.txt": b"content"}
    assert (sftp.names("/"), sftp.names("a")) == (["a"], ["b.txt"])
    found = sftp.stat("/a/../a/./b.txt")
    assert (found.size, oct(found.permissions)) == (7, "0o100600")
    assert oct(sftp.stat("a").permissions) == "0o40700"


def test_nothing_can_be_read_or_linked(sftp):
    sftp.put("a", b"content")
    for flags in (Open.READ, Open.READ | Open.CREATE, Open(0)):
        assert sftp.status(Ask.OPEN, string("a"), u32(flags), NONE) is Status.PERMISSION_DENIED
    handle = sftp.open("b", NEW | Open.READ)
    sftp.write(handle, 0, b"x")
    assert sftp.status(Ask.READ, handle, u64(0), u32(1)) is Status.PERMISSION_DENIED
    for kind, parts in (
        (Ask.SYMLINK, (string("a"), string("c"))),
        (Ask.READLINK, (string("a"),)),
        (Ask.EXTENDED, (string("hardlink@openssh.com"), string("a"), string("c"))),
    ):
        assert sftp.status(kind, *parts) is Status.PERMISSION_DENIED
    for name in ("copy-data", "check-file", "statvfs@openssh.com", "fsync@openssh.com"):
        assert sftp.status(Ask.EXTENDED, string(name), string("a")) is Status.OP_UNSUPPORTED


def test_nobody_sees_what_is_of_another_session(sftp, office, alice):
    sftp.put("a", b"content")
    other = Sftp(office, alice)
    assert other.names("/") == []
    assert other.stat("a") is Status.NO_SUCH_FILE
    for kind in (Ask.REMOVE, Ask.RMDIR, Ask.OPENDIR):
        assert other.status(kind, string("a")) is Status.NO_SUCH_FILE
    assert other.status(Ask.RENAME, string("a"), string("b")) is Status.NO_SUCH_FILE


def test_connections_of_one_session_see_the_same(office, alice, clock):
    first, second = Sftp(office, alice, "key"), Sftp(office, alice, "key")
    first.put("a", b"content")
    assert second.names("/") == ["a"]
    elsewhere = office.drops.enter("alice", BY_CODE, "key")
    assert elsewhere.mine() == {}
    for one in (first, second):
        one.conversation.end()
        one.box.leave()
    clock.forward(LINGER_MS / 1000 - 1)
    third = Sftp(office, alice, "key")
    assert third.names("/") == ["a"]
    third.box.leave()
    clock.forward(LINGER_MS / 1000 + 1)
    assert Sftp(office, alice, "key").names("/") == []
    assert inbox(office, alice) == {"a": b"content"}


def test_what_is_not_closed_is_no_drop(sftp, office, alice):
    handle = sftp.open("a")
    sftp.write(handle, 0, bytes(200_000))
    assert sftp.stat("a").size == 200_000
    sftp.conversation.end()
    assert inbox(office, alice) == {}
    assert sftp.names("/") == []


def test_a_file_with_a_part_refused_is_no_drop(sftp, office, alice):
    handle = sftp.open("a")
    assert sftp.write(handle, 0, b"0123") is Status.OK
    assert sftp.write(handle, WINDOW + 5, b"far away") is Status.PERMISSION_DENIED
    assert sftp.write(handle, 4, b"4567") is Status.OK
    assert sftp.status(Ask.CLOSE, handle) is Status.FAILURE
    assert inbox(office, alice) == {}


def test_appending_goes_where_the_end_is(sftp, office, alice):
    handle = sftp.open("a", NEW | Open.APPEND)
    for piece in (b"one ", b"two ", b"three"):
        assert sftp.write(handle, 0, piece) is Status.OK
    assert sftp.status(Ask.CLOSE, handle) is Status.OK
    assert inbox(office, alice) == {"a": b"one two three"}


def test_a_drop_is_written_anew_and_never_gone_on_with(sftp, office, alice):
    sftp.put("a", b"first")
    for flags in (Open.WRITE, Open.WRITE | Open.APPEND, Open.WRITE | Open.CREATE):
        assert sftp.status(Ask.OPEN, string("a"), u32(flags), NONE) is Status.PERMISSION_DENIED
    exclusive = NEW | Open.EXCLUSIVE
    assert sftp.status(Ask.OPEN, string("a"), u32(exclusive), NONE) is Status.FAILURE
    assert sftp.status(Ask.OPEN, string("b"), u32(Open.WRITE), NONE) is Status.NO_SUCH_FILE
    sftp.put("a", b"second")
    assert inbox(office, alice) == {"a": b"second"}


def test_a_handle_is_of_no_use_once_it_is_closed(sftp):
    handle = sftp.open("a")
    assert sftp.status(Ask.CLOSE, handle) is Status.OK
    for kind, more in ((Ask.CLOSE, b""), (Ask.FSTAT, b""), (Ask.READDIR, b"")):
        assert sftp.status(kind, handle, more) is Status.FAILURE
    assert sftp.write(handle, 0, b"x") is Status.FAILURE
    assert sftp.write(string(b"never open"), 0, b"x") is Status.FAILURE
    assert sftp.open("b") != handle


def test_no_more_is_opened_than_there_is_room_for(sftp):
    for _ in range(MAX_HANDLES):
        assert sftp.ask(Ask.OPENDIR, string("/"))[0] == Tell.HANDLE
    assert sftp.status(Ask.OPENDIR, string("/")) is Status.PERMISSION_DENIED


def test_folders_are_parts_of_names(sftp, office, alice):
    assert sftp.status(Ask.MKDIR, string("x/y"), NONE) is Status.OK
    assert sftp.names("x") == ["y"]
    assert sftp.status(Ask.MKDIR, string("x/y"), NONE) is Status.FAILURE
    assert sftp.status(Ask.RMDIR, string("x")) is Status.FAILURE
    sftp.put("x/y/a", b"1")
    assert sftp.status(Ask.RMDIR, string("x/y")) is Status.FAILURE
    assert sftp.status(Ask.OPEN, string("x/y"), u32(NEW), NONE) is Status.FAILURE
    assert sftp.status(Ask.OPEN, string("x/y/a/b"), u32(NEW), NONE) is Status.NO_SUCH_FILE
    assert sftp.status(Ask.RENAME, string("x"), string("x/y/z")) is Status.PERMISSION_DENIED
    assert sftp.status(Ask.RENAME, string("x"), string("z")) is Status.OK
    assert inbox(office, alice) == {"z/y/a": b"1"}
    assert (sftp.names("/"), sftp.names("z/y")) == (["z"], ["a"])
    assert sftp.status(Ask.REMOVE, string("z/y/a")) is Status.OK
    assert sftp.names("z") == ["y"]
    assert sftp.status(Ask.RMDIR, string("z/y")) is Status.OK
    assert sftp.status(Ask.RMDIR, string("z")) is Status.OK
    assert sftp.names("/") == []


def test_renaming_replaces_only_where_it_is_asked_for(sftp, office, alice):
    sftp.put("a.part", b"new")
    sftp.put("a", b"old")
    assert sftp.status(Ask.RENAME, string("a.part"), string("a")) is Status.FAILURE
    posix = string("posix-rename@openssh.com")
    assert sftp.status(Ask.EXTENDED, posix, string("a.part"), string("a")) is Status.OK
    assert inbox(office, alice) == {"a": b"new"}
    writing = sftp.open("b")
    assert sftp.status(Ask.EXTENDED, posix, string("a"), string("b")) is Status.FAILURE
    assert sftp.status(Ask.CLOSE, writing) is Status.OK


def test_times_are_kept_and_sizes_are_what_they_are(sftp):
    handle = sftp.open("a")
    sftp.write(handle, 0, b"12345")
    times = Attributes(times=(5, 6)).packed()
    assert sftp.status(Ask.FSETSTAT, handle, Attributes(size=5).packed()) is Status.OK
    assert sftp.status(Ask.FSETSTAT, handle, Attributes(size=4).packed()) is Status.OP_UNSUPPORTED
    assert sftp.status(Ask.FSETSTAT, handle, times) is Status.OK
    assert sftp.status(Ask.CLOSE, handle) is Status.OK
    assert sftp.stat("a").times == (6, 6)
    assert sftp.status(Ask.SETSTAT, string("a"), Attributes(times=(7, 8)).packed()) is Status.OK
    assert sftp.stat("a").times == (8, 8)
    assert sftp.status(Ask.SETSTAT, string("a"), Attributes(permissions=0).packed()) is Status.OK
    size = Attributes(size=0).packed()
    assert sftp.status(Ask.SETSTAT, string("a"), size) is Status.OP_UNSUPPORTED
    assert sftp.stat("a").size == 5


@pytest.mark.parametrize(
    "name", ["x" * 65536, "a\nb", "\x1b[2J", "\0", "/".join(["x"] * 40), "x" * 256, "\udc80"]
)
def test_names_that_cannot_be_are_refused_in_a_sentence(sftp, name, office, alice):
    for kind, parts in (
        (Ask.OPEN, (u32(NEW), NONE)),
        (Ask.MKDIR, (NONE,)),
        (Ask.RENAME, (string("b"),)),
    ):
        assert sftp.status(kind, string(name), *parts) in (Status.FAILURE, Status.NO_SUCH_FILE)
    assert inbox(office, alice) == {}


def test_the_top_cannot_be_changed(sftp):
    for kind, parts in (
        (Ask.OPEN, (u32(NEW), NONE)),
        (Ask.MKDIR, (NONE,)),
        (Ask.RMDIR, ()),
        (Ask.REMOVE, ()),
        (Ask.RENAME, (string("x"),)),
    ):
        assert sftp.status(kind, string("/"), *parts) is not Status.OK
    assert sftp.names("/") == []


def test_a_path_leads_nowhere_else(sftp, office, alice):
    told, fields = sftp.ask(Ask.REALPATH, string("../../../etc/./passwd"))
    assert told == Tell.NAME
    fields.u32()
    assert fields.text() == "/etc/passwd"
    sftp.put("../../../etc/passwd", b"x")
    assert inbox(office, alice) == {"etc/passwd": b"x"}


def test_what_cannot_be_read_is_said_to_be_so_and_the_next_is_served(sftp):
    assert sftp.status(Ask.WRITE) is Status.BAD_MESSAGE
    assert sftp.status(Ask.OPEN, u32(1 << 31)) is Status.BAD_MESSAGE
    assert sftp.status(77) is Status.OP_UNSUPPORTED
    sftp.put("a", b"")


@pytest.mark.parametrize(
    "said", [packet(Ask.OPENDIR, u32(1), string("/")), u32(0) + b"x", u32(1 << 30) + b"x"]
)
def test_a_conversation_that_makes_no_sense_ends(office, alice, said):
    with pytest.raises(BadPacketError):
        Conversation(enter(office, alice)).feed(said)
    sent: list[bytes] = []
    Conversation(enter(office, alice)).serve(_once(said), sent.append)
    assert sent == []


def _once(data: bytes) -> Callable[[], bytes]:
    left = [data, b""]
    return lambda: left.pop(0)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asked=st.lists(st.tuples(st.sampled_from(sorted(Ask)[1:]), st.binary(max_size=60)), max_size=8)
)
def test_whatever_is_asked_is_answered(office, alice, asked):
    sftp = Sftp(office, alice)
    for kind, rest in asked:
        answer = sftp.conversation.feed(packet(kind, u32(7), rest))
        assert len(Packets().feed(answer)) == 1
    sftp.conversation.end()
    sftp.box.close()

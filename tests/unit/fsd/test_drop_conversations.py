"""The drop box as an SFTP server: packets that stock clients rarely or never send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsd.net.dropbox.sftp_session import MAX_HANDLES, SftpSession
from fsd.services.drops.incoming import WINDOW
from fsd.services.drops.service import LINGER_MS
from fskit.sftp.codes import OpenFlag, Request, Response, StatusCode
from fskit.sftp.packets import Attributes, BadPacketError, Fields, Packets, packet, string, u32, u64
from tests.support.drops import BY_CODE, SCANNER, enter, inbox
from tests.support.services import Services, ServiceUser

NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
NONE = Attributes().packed()


@pytest.fixture
def alice(office, clock) -> ServiceUser:
    made: ServiceUser = office.add("alice")
    made.enrol(office, clock())
    return made


@dataclass
class Sftp:
    """A client that sends exactly the given packets."""

    office: Services
    person: ServiceUser
    session: str = ""
    conversation: SftpSession = field(init=False)

    def __post_init__(self) -> None:
        self.box = self.office.drops.enter(self.person.name, SCANNER, self.session)
        self.conversation = SftpSession(self.box, lambda: 1_700_000_000.0)
        answer = self.conversation.feed(packet(Request.INIT, u32(3)))
        assert answer[4] == Response.VERSION

    def ask(self, kind: int, *parts: bytes) -> tuple[int, Fields]:
        """Send a request; return the type of the answer and its fields after the request id."""
        (told,) = Packets().feed(self.conversation.feed(packet(kind, u32(7), *parts)))
        fields = Fields(told[1:])
        assert fields.u32() == 7
        return told[0], fields

    def status(self, kind: int, *parts: bytes) -> StatusCode:
        told, fields = self.ask(kind, *parts)
        assert told == Response.STATUS
        code = StatusCode(fields.u32())
        assert fields.text()
        return code

    def open(self, name: str, flags: OpenFlag = NEW) -> bytes:
        told, fields = self.ask(Request.OPEN, string(name), u32(flags), NONE)
        assert told == Response.HANDLE, fields.u32()
        return string(bytes(fields.string()))

    def write(self, handle: bytes, offset: int, data: bytes) -> StatusCode:
        return self.status(Request.WRITE, handle, u64(offset), string(data))

    def put(self, name: str, data: bytes) -> None:
        handle = self.open(name)
        assert self.write(handle, 0, data) is StatusCode.OK
        assert self.status(Request.CLOSE, handle) is StatusCode.OK

    def names(self, path: str) -> list[str]:
        told, fields = self.ask(Request.OPENDIR, string(path))
        if told == Response.STATUS:
            raise FileNotFoundError
        handle = string(bytes(fields.string()))
        found: list[str] = []
        while True:
            told, fields = self.ask(Request.READDIR, handle)
            if told == Response.STATUS:
                assert fields.u32() == StatusCode.EOF
                assert self.status(Request.CLOSE, handle) is StatusCode.OK
                return found
            for _ in range(fields.u32()):
                found.append(fields.text())
                fields.text()
                fields.attributes()

    def stat(self, path: str) -> Attributes | StatusCode:
        told, fields = self.ask(Request.STAT, string(path))
        return fields.attributes() if told == Response.ATTRS else StatusCode(fields.u32())


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
    for flags in (OpenFlag.READ, OpenFlag.READ | OpenFlag.CREATE, OpenFlag(0)):
        assert (
            sftp.status(Request.OPEN, string("a"), u32(flags), NONE) is StatusCode.PERMISSION_DENIED
        )
    handle = sftp.open("b", NEW | OpenFlag.READ)
    sftp.write(handle, 0, b"x")
    assert sftp.status(Request.READ, handle, u64(0), u32(1)) is StatusCode.PERMISSION_DENIED
    for kind, parts in (
        (Request.SYMLINK, (string("a"), string("c"))),
        (Request.READLINK, (string("a"),)),
        (Request.EXTENDED, (string("hardlink@openssh.com"), string("a"), string("c"))),
    ):
        assert sftp.status(kind, *parts) is StatusCode.PERMISSION_DENIED
    for name in ("copy-data", "check-file", "statvfs@openssh.com", "fsync@openssh.com"):
        assert sftp.status(Request.EXTENDED, string(name), string("a")) is StatusCode.OP_UNSUPPORTED


def test_a_session_does_not_see_drops_of_another(sftp, office, alice):
    sftp.put("a", b"content")
    other = Sftp(office, alice)
    assert other.names("/") == []
    assert other.stat("a") is StatusCode.NO_SUCH_FILE
    for kind in (Request.REMOVE, Request.RMDIR, Request.OPENDIR):
        assert other.status(kind, string("a")) is StatusCode.NO_SUCH_FILE
    assert other.status(Request.RENAME, string("a"), string("b")) is StatusCode.NO_SUCH_FILE


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


def test_a_file_that_is_not_closed_is_no_drop(sftp, office, alice):
    handle = sftp.open("a")
    sftp.write(handle, 0, bytes(200_000))
    assert sftp.stat("a").size == 200_000
    sftp.conversation.end()
    assert inbox(office, alice) == {}
    assert sftp.names("/") == []


def test_a_file_with_a_part_refused_is_no_drop(sftp, office, alice):
    handle = sftp.open("a")
    assert sftp.write(handle, 0, b"0123") is StatusCode.OK
    assert sftp.write(handle, WINDOW + 5, b"far away") is StatusCode.PERMISSION_DENIED
    assert sftp.write(handle, 4, b"4567") is StatusCode.OK
    assert sftp.status(Request.CLOSE, handle) is StatusCode.FAILURE
    assert inbox(office, alice) == {}


def test_appending_goes_where_the_end_is(sftp, office, alice):
    handle = sftp.open("a", NEW | OpenFlag.APPEND)
    for piece in (b"one ", b"two ", b"three"):
        assert sftp.write(handle, 0, piece) is StatusCode.OK
    assert sftp.status(Request.CLOSE, handle) is StatusCode.OK
    assert inbox(office, alice) == {"a": b"one two three"}


def test_a_drop_is_written_again_and_never_resumed(sftp, office, alice):
    sftp.put("a", b"first")
    for flags in (
        OpenFlag.WRITE,
        OpenFlag.WRITE | OpenFlag.APPEND,
        OpenFlag.WRITE | OpenFlag.CREATE,
    ):
        assert (
            sftp.status(Request.OPEN, string("a"), u32(flags), NONE) is StatusCode.PERMISSION_DENIED
        )
    exclusive = NEW | OpenFlag.EXCLUSIVE
    assert sftp.status(Request.OPEN, string("a"), u32(exclusive), NONE) is StatusCode.FAILURE
    assert (
        sftp.status(Request.OPEN, string("b"), u32(OpenFlag.WRITE), NONE) is StatusCode.NO_SUCH_FILE
    )
    sftp.put("a", b"second")
    assert inbox(office, alice) == {"a": b"second"}


def test_a_handle_is_of_no_use_once_it_is_closed(sftp):
    handle = sftp.open("a")
    assert sftp.status(Request.CLOSE, handle) is StatusCode.OK
    for kind, more in ((Request.CLOSE, b""), (Request.FSTAT, b""), (Request.READDIR, b"")):
        assert sftp.status(kind, handle, more) is StatusCode.FAILURE
    assert sftp.write(handle, 0, b"x") is StatusCode.FAILURE
    assert sftp.write(string(b"never open"), 0, b"x") is StatusCode.FAILURE
    assert sftp.open("b") != handle


def test_open_handles_are_limited(sftp):
    for _ in range(MAX_HANDLES):
        assert sftp.ask(Request.OPENDIR, string("/"))[0] == Response.HANDLE
    assert sftp.status(Request.OPENDIR, string("/")) is StatusCode.PERMISSION_DENIED


def test_folders_are_parts_of_names(sftp, office, alice):
    assert sftp.status(Request.MKDIR, string("x/y"), NONE) is StatusCode.OK
    assert sftp.names("x") == ["y"]
    assert sftp.status(Request.MKDIR, string("x/y"), NONE) is StatusCode.FAILURE
    assert sftp.status(Request.RMDIR, string("x")) is StatusCode.FAILURE
    sftp.put("x/y/a", b"1")
    assert sftp.status(Request.RMDIR, string("x/y")) is StatusCode.FAILURE
    assert sftp.status(Request.OPEN, string("x/y"), u32(NEW), NONE) is StatusCode.FAILURE
    assert sftp.status(Request.OPEN, string("x/y/a/b"), u32(NEW), NONE) is StatusCode.NO_SUCH_FILE
    assert sftp.status(Request.RENAME, string("x"), string("x/y/z")) is StatusCode.PERMISSION_DENIED
    assert sftp.status(Request.RENAME, string("x"), string("z")) is StatusCode.OK
    assert inbox(office, alice) == {"z/y/a": b"1"}
    assert (sftp.names("/"), sftp.names("z/y")) == (["z"], ["a"])
    assert sftp.status(Request.REMOVE, string("z/y/a")) is StatusCode.OK
    assert sftp.names("z") == ["y"]
    assert sftp.status(Request.RMDIR, string("z/y")) is StatusCode.OK
    assert sftp.status(Request.RMDIR, string("z")) is StatusCode.OK
    assert sftp.names("/") == []


def test_renaming_replaces_only_where_it_is_asked_for(sftp, office, alice):
    sftp.put("a.part", b"new")
    sftp.put("a", b"old")
    assert sftp.status(Request.RENAME, string("a.part"), string("a")) is StatusCode.FAILURE
    posix = string("posix-rename@openssh.com")
    assert sftp.status(Request.EXTENDED, posix, string("a.part"), string("a")) is StatusCode.OK
    assert inbox(office, alice) == {"a": b"new"}
    writing = sftp.open("b")
    assert sftp.status(Request.EXTENDED, posix, string("a"), string("b")) is StatusCode.FAILURE
    assert sftp.status(Request.CLOSE, writing) is StatusCode.OK


def test_a_drop_under_way_cannot_be_renamed_or_removed_and_the_answer_says_why(sftp, office, alice):
    handle = sftp.open("a/b")
    sftp.write(handle, 0, b"content")
    for kind, *fields in (
        (Request.RENAME, string("a/b"), string("c")),
        (Request.RENAME, string("a"), string("c")),
        (Request.EXTENDED, string("posix-rename@openssh.com"), string("a/b"), string("c")),
        (Request.REMOVE, string("a/b")),
    ):
        _, answer = sftp.ask(kind, *fields)
        assert answer.u32() == StatusCode.FAILURE
        assert "is being written" in answer.text()
    assert sftp.status(Request.CLOSE, handle) is StatusCode.OK
    assert sftp.status(Request.RENAME, string("a"), string("c")) is StatusCode.OK
    assert inbox(office, alice) == {"c/b": b"content"}


def test_times_are_kept_and_sizes_are_what_they_are(sftp):
    handle = sftp.open("a")
    sftp.write(handle, 0, b"12345")
    times = Attributes(times=(5, 6)).packed()
    assert sftp.status(Request.FSETSTAT, handle, Attributes(size=5).packed()) is StatusCode.OK
    assert (
        sftp.status(Request.FSETSTAT, handle, Attributes(size=4).packed())
        is StatusCode.OP_UNSUPPORTED
    )
    assert sftp.status(Request.FSETSTAT, handle, times) is StatusCode.OK
    assert sftp.status(Request.CLOSE, handle) is StatusCode.OK
    assert sftp.stat("a").times == (6, 6)
    assert (
        sftp.status(Request.SETSTAT, string("a"), Attributes(times=(7, 8)).packed())
        is StatusCode.OK
    )
    assert sftp.stat("a").times == (8, 8)
    assert (
        sftp.status(Request.SETSTAT, string("a"), Attributes(permissions=0).packed())
        is StatusCode.OK
    )
    size = Attributes(size=0).packed()
    assert sftp.status(Request.SETSTAT, string("a"), size) is StatusCode.OP_UNSUPPORTED
    assert sftp.stat("a").size == 5


@pytest.mark.parametrize(
    "name", ["x" * 65536, "a\nb", "\x1b[2J", "\0", "/".join(["x"] * 40), "x" * 256, "\udc80"]
)
def test_names_that_cannot_be_are_refused_in_a_sentence(sftp, name, office, alice):
    for kind, parts in (
        (Request.OPEN, (u32(NEW), NONE)),
        (Request.MKDIR, (NONE,)),
        (Request.RENAME, (string("b"),)),
    ):
        assert sftp.status(kind, string(name), *parts) in (
            StatusCode.FAILURE,
            StatusCode.NO_SUCH_FILE,
        )
    assert inbox(office, alice) == {}


def test_the_top_cannot_be_changed(sftp):
    for kind, parts in (
        (Request.OPEN, (u32(NEW), NONE)),
        (Request.MKDIR, (NONE,)),
        (Request.RMDIR, ()),
        (Request.REMOVE, ()),
        (Request.RENAME, (string("x"),)),
    ):
        assert sftp.status(kind, string("/"), *parts) is not StatusCode.OK
    assert sftp.names("/") == []


def test_a_path_leads_nowhere_else(sftp, office, alice):
    told, fields = sftp.ask(Request.REALPATH, string("../../../etc/./passwd"))
    assert told == Response.NAME
    fields.u32()
    assert fields.text() == "/etc/passwd"
    sftp.put("../../../etc/passwd", b"x")
    assert inbox(office, alice) == {"etc/passwd": b"x"}


def test_a_malformed_packet_gets_an_error_and_the_next_one_is_served(sftp):
    assert sftp.status(Request.WRITE) is StatusCode.BAD_MESSAGE
    assert sftp.status(Request.OPEN, u32(1 << 31)) is StatusCode.BAD_MESSAGE
    assert sftp.status(77) is StatusCode.OP_UNSUPPORTED
    sftp.put("a", b"")


@pytest.mark.parametrize(
    "said", [packet(Request.OPENDIR, u32(1), string("/")), u32(0) + b"x", u32(1 << 30) + b"x"]
)
def test_a_conversation_that_makes_no_sense_ends(office, alice, said):
    with pytest.raises(BadPacketError):
        SftpSession(enter(office, alice)).feed(said)
    sent: list[bytes] = []
    SftpSession(enter(office, alice)).serve(_once(said), sent.append)
    assert sent == []


def _once(data: bytes) -> Callable[[], bytes]:
    left = [data, b""]
    return lambda: left.pop(0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(
        st.tuples(st.sampled_from(sorted(Request)[1:]), st.binary(max_size=60)), max_size=8
    )
)
def test_whatever_is_asked_is_answered(office, alice, asked):
    sftp = Sftp(office, alice)
    for kind, rest in asked:
        answer = sftp.conversation.feed(packet(kind, u32(7), rest))
        assert len(Packets().feed(answer)) == 1
    sftp.conversation.end()
    sftp.box.close()


# --- names in another form than NFC

NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_a_name_is_shown_as_the_client_wrote_it_and_stored_in_nfc(sftp):
    sftp.put(f"{NFD}/{NFD}.txt", b"x")
    assert sftp.names("/") == [NFD]
    assert sftp.names(f"/{NFD}") == [f"{NFD}.txt"]
    assert isinstance(sftp.stat(f"/{NFC}/{NFC}.txt"), Attributes)
    assert list(sftp.box.mine()) == [f"{NFC}/{NFC}.txt"]


def test_an_older_spelling_removes_nothing_that_was_written_since(sftp):
    sftp.put(f"{NFC}.txt", b"x")
    sftp.status(Request.MKDIR, string(NFC), NONE)
    assert sftp.names("/") == [NFC, f"{NFC}.txt"]
    sftp.put(f"{NFD}.txt", b"y")
    sftp.status(Request.MKDIR, string(NFD), NONE)
    assert sftp.names("/") == [NFD, f"{NFD}.txt"]
    for kind, name in ((Request.REMOVE, f"{NFC}.txt"), (Request.RMDIR, NFC)):
        assert sftp.status(kind, string(name)) is StatusCode.NO_SUCH_FILE
    renamed = sftp.status(Request.RENAME, string(f"{NFC}.txt"), string("other"))
    assert renamed is StatusCode.NO_SUCH_FILE
    assert sftp.names("/") == [NFD, f"{NFD}.txt"]
    assert sftp.status(Request.RENAME, string(f"{NFD}.txt"), string(f"{NFC}.txt")) is StatusCode.OK
    assert sftp.names("/") == [NFD, f"{NFC}.txt"]
    assert sftp.status(Request.REMOVE, string(f"{NFC}.txt")) is StatusCode.OK
    assert sftp.status(Request.RMDIR, string(NFD)) is StatusCode.OK
    assert sftp.names("/") == []


def test_all_connections_of_a_session_show_the_names_that_one_of_them_wrote(office, alice):
    session = "one session"
    one, other = Sftp(office, alice, session), Sftp(office, alice, session)
    one.put(f"{NFD}.txt", b"x")
    assert other.names("/") == [f"{NFD}.txt"]
    other.put(f"{NFC}.txt", b"y")
    assert one.names("/") == [f"{NFC}.txt"]
    assert one.status(Request.REMOVE, string(f"{NFD}.txt")) is StatusCode.NO_SUCH_FILE

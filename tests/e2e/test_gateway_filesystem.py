"""The gateway's file system on a real server, without SSH: the calls that programs rely on."""

from __future__ import annotations

import random
import threading

import pytest

from fsclient.gateway.filesystem import Filesystem
from fsclient.gateway.handles import ReadHandle, WriteHandle
from fskit.sftp.codes import OpenFlag
from fskit.sftp.packets import Attributes
from fskit.sftp.status import InvalidRequestError, WrongHandleError
from fsproto.errors import (
    ConflictError,
    ExistsError,
    FsError,
    InvalidNameError,
    NotAllowedError,
    NotFoundError,
)
from tests.support.client_processes import Client
from tests.support.gateways import RunningGateway, at, gateway

NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE
MIB = 1 << 20

random_bytes = random.Random(0).randbytes


@pytest.fixture
def client(served: RunningGateway) -> Client:
    return served.client


@pytest.fixture
def files(served: RunningGateway) -> Filesystem:
    return served.filesystem()


@pytest.fixture
def room(files: Filesystem, request) -> str:
    name: str = request.node.name[:100]
    files.make_folder(at(name))
    return name


def put(files: Filesystem, path: str, content: bytes) -> None:
    handle = files.opened.open(at(path), NEW)
    for start in range(0, len(content), 100_000):
        files.opened.write(handle, start, content[start : start + 100_000])
    files.opened.close(handle)


def content_of(files: Filesystem, path: str) -> bytes:
    handle = files.opened.open(at(path), OpenFlag.READ)
    size, found = files.facts_of(handle).size, b""
    while piece := files.opened.read(handle, len(found), 200_000):
        found += piece
    assert len(found) == size
    files.opened.close(handle)
    return found


def names(files: Filesystem, path: str) -> list[str]:
    return [name for name, _ in reversed(files.listing(at(path)))]


@pytest.mark.cases(1)
@pytest.mark.parametrize("size", [0, 1, 60_000, 70_000, MIB - 56, MIB, 6 * MIB + 5])
def test_what_is_written_is_read_and_others_see_it(files, client, room, size):
    data = random_bytes(size)
    put(files, f"{room}/f", data)
    assert content_of(files, f"{room}/f") == data
    assert client.cat(f"{room}/f") == data


def test_a_file_that_is_written_is_seen_by_its_writer_alone_until_it_is_closed(served, files, room):
    others = served.filesystem()
    handle = files.opened.open(at(room, "f"), NEW)
    files.opened.write(handle, 0, b"half")
    assert files.facts(at(room, "f")).size == 4
    assert names(files, room) == ["f"]
    assert names(others, room) == []
    with pytest.raises(NotFoundError):
        others.facts(at(room, "f"))
    files.opened.close(handle)
    assert names(others, room) == ["f"]


def test_writes_at_any_offset_become_one_version(files, client, room):
    put(files, f"{room}/f", b"0123456789" * 20_000)
    version = client.quick("ls", "--json", f"{room}/f").json()[0]["version"]
    handle = files.opened.open(at(room, "f"), OpenFlag.READ | OpenFlag.WRITE)
    files.opened.write(handle, 150_000, b"ABC")
    files.opened.write(handle, 3, b"xyz")
    assert files.opened.read(handle, 0, 8) == b"012xyz67"
    files.opened.write(handle, 200_005, b"end")
    files.opened.close(handle)
    wanted = bytearray(b"0123456789" * 20_000 + bytes(5) + b"end")
    wanted[150_000:150_003], wanted[3:6] = b"ABC", b"xyz"
    assert client.cat(f"{room}/f") == wanted
    assert client.quick("ls", "--json", f"{room}/f").json()[0]["version"] == version + 1


def test_what_was_sent_early_and_is_written_over_is_sent_again(files, client, room):
    data = bytearray(random_bytes(7 * MIB))
    handle = files.opened.open(at(room, "f"), NEW)
    for start in range(0, len(data), MIB):
        files.opened.write(handle, start, data[start : start + MIB])
    assert handle.writing.early is not None
    data[5:9] = b"late"
    files.opened.write(handle, 5, b"late")
    files.opened.close(handle)
    assert client.cat(f"{room}/f") == data


def test_appending_ignores_the_offset(files, client, room):
    put(files, f"{room}/f", b"one")
    handle = files.opened.open(at(room, "f"), OpenFlag.WRITE | OpenFlag.APPEND)
    files.opened.write(handle, 0, b" two")
    files.opened.write(handle, 0, b" three")
    files.opened.close(handle)
    assert client.cat(f"{room}/f") == b"one two three"


def test_files_are_cut_and_grown_by_handle_and_by_path(files, client, room):
    put(files, f"{room}/f", b"0123456789")
    handle = files.opened.open(at(room, "f"), OpenFlag.WRITE)
    files.set_attributes_of(handle, Attributes(size=4))
    files.opened.close(handle)
    assert client.cat(f"{room}/f") == b"0123"
    files.set_attributes(at(room, "f"), Attributes(size=6))
    assert client.cat(f"{room}/f") == b"0123\0\0"


def test_times_and_the_right_to_run_are_kept_with_and_without_content(files, client, room):
    handle = files.opened.open(at(room, "f"), NEW, Attributes(permissions=0o755))
    files.opened.write(handle, 0, b"x")
    files.set_attributes_of(handle, Attributes(times=(1, 1_000_000_000)))
    files.opened.close(handle)
    seen = client.quick("ls", "--json", f"{room}/f").json()[0]
    assert (seen["executable"], seen["mtime_ns"], seen["version"]) == (True, 10**18, 1)
    files.set_attributes(at(room, "f"), Attributes(permissions=0o644, times=(5, 7)))
    facts = files.facts(at(room, "f"))
    assert (facts.mode, facts.mtime_ns) == (0o100600, 7 * 10**9)
    files.set_attributes(at(room), Attributes(permissions=0o700, times=(5, 8)))
    assert files.facts(at(room)).mtime_ns == 8 * 10**9


def test_opening_has_the_meaning_that_posix_gives_it(files, room):
    with pytest.raises(NotFoundError):
        files.opened.open(at(room, "f"), OpenFlag.READ)
    with pytest.raises(NotFoundError):
        files.opened.open(at(room, "f"), OpenFlag.WRITE)
    with pytest.raises(NotFoundError):
        files.opened.open(at(room, "missing", "f"), NEW)
    put(files, f"{room}/f", b"")
    with pytest.raises(ExistsError):
        files.opened.open(at(room, "f"), OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE)
    with pytest.raises(NotFoundError):
        files.opened.open(at(room, "f", "g"), NEW)
    for folder in (room, "/"):
        with pytest.raises((ConflictError, NotAllowedError)):
            files.opened.open(at(folder), OpenFlag.WRITE)


def test_names_go_and_move_as_posix_has_it(files, room):
    put(files, f"{room}/a", b"a")
    put(files, f"{room}/b", b"b")
    files.make_folder(at(room, "d"))
    files.make_folder(at(room, "empty"))
    put(files, f"{room}/d/inside", b"")
    with pytest.raises(ExistsError):
        files.rename(at(room, "a"), at(room, "b"), replacing=False)
    files.rename(at(room, "a"), at(room, "b"), replacing=True)
    assert content_of(files, f"{room}/b") == b"a"
    for old, new in (("b", "d"), ("d", "b"), ("empty", "d"), ("d", "d/inside/x"), ("nothing", "x")):
        with pytest.raises((ConflictError, InvalidRequestError, NotFoundError)):
            files.rename(at(room, old), at(room, new), replacing=True)
    files.rename(at(room, "d"), at(room, "empty"), replacing=True)
    assert names(files, room) == ["b", "empty"]
    with pytest.raises(ConflictError):
        files.remove(at(room, "empty"), folder=True)
    with pytest.raises(ConflictError):
        files.remove(at(room, "empty"))
    with pytest.raises(NotFoundError, match="not a folder"):
        files.remove(at(room, "b"), folder=True)
    files.remove(at(room, "empty", "inside"))
    files.remove(at(room, "empty"), folder=True)
    files.remove(at(room, "b"))
    assert names(files, room) == []


def test_links_lead_where_they_lead_and_never_out(files, client, room):
    files.make_folder(at(room, "d"))
    put(files, f"{room}/d/f", b"content")
    files.make_link(at(room, "to-file"), b"d/f")
    files.make_link(at(room, "to-folder"), f"/{room}/d".encode())
    files.make_link(at(room, "up"), b"../../../../../../etc/passwd")
    files.make_link(at(room, "round"), b"round")
    assert files.link_target(at(room, "to-file")) == "d/f"
    assert content_of(files, f"{room}/to-file") == b"content"
    assert content_of(files, f"{room}/to-folder/f") == b"content"
    assert names(files, f"{room}/to-folder") == ["f"]
    assert files.facts(at(room, "to-file")).size == 7
    assert files.facts(at(room, "to-file"), follow=False).mode == 0o120777
    for broken in ("up", "round"):
        with pytest.raises(NotFoundError):
            files.facts(at(room, broken))
    put(files, f"{room}/to-file", b"through it")
    assert content_of(files, f"{room}/d/f") == b"through it"
    files.remove(at(room, "to-folder"))
    assert names(files, f"{room}/d") == ["f"]
    assert client.quick("ls", room).ok().lines == ["d/", "round@", "to-file@", "up@"]


def test_syncing_makes_a_version_and_the_file_stays_open(files, client, room):
    data = random_bytes(300_000)
    put(files, f"{room}/f", data)
    handle = files.opened.open(at(room, "f"), OpenFlag.WRITE | OpenFlag.READ)
    files.opened.write(handle, 0, b"first")
    files.opened.start_sync(handle)()
    assert client.cat(f"{room}/f") == b"first" + data[5:]
    files.opened.write(handle, 200_000, b"second")
    assert files.opened.read(handle, 299_990, 100) == data[299_990:]
    files.opened.close(handle)
    assert client.cat(f"{room}/f") == b"first" + data[5:200_000] + b"second" + data[200_006:]


def test_a_file_is_removed_or_moved_while_it_is_written(files, room):
    handle = files.opened.open(at(room, "gone"), NEW)
    files.opened.write(handle, 0, b"x")
    files.remove(at(room, "gone"))
    moved = files.opened.open(at(room, "old"), NEW)
    files.opened.write(moved, 0, b"before, ")
    files.rename(at(room, "old"), at(room, "new"), replacing=True)
    files.opened.write(moved, 8, b"after")
    files.opened.close(handle)
    files.opened.close(moved)
    assert names(files, room) == ["new"]
    assert content_of(files, f"{room}/new") == b"before, after"


def test_a_removal_that_is_refused_loses_nothing_that_is_being_written(files, room):
    put(files, f"{room}/there", b"old")
    for name in ("there", "new"):
        handle = files.opened.open(at(room, name), NEW)
        files.opened.write(handle, 0, b"written")
        with pytest.raises(NotFoundError, match="not a folder"):
            files.remove(at(room, name), folder=True)
        files.opened.close(handle)
        assert content_of(files, f"{room}/{name}") == b"written"


def test_a_rename_of_a_new_file_publishes_nothing_before_its_close(served, files, client, room):
    others = served.filesystem()
    put(files, f"{room}/old", b"as it was")
    for name, data in (("half", b"first half"), ("better", b"better")):
        handle = files.opened.open(at(room, name), NEW)
        files.opened.write(handle, 0, data)
        new = "whole" if name == "half" else "old"
        files.rename(at(room, name), at(room, new), replacing=True)
        assert content_of(files, f"{room}/{new}") == data
        assert names(others, room) == ["old"]
        assert content_of(others, f"{room}/old") == b"as it was"
        files.opened.abandon([handle])  # the client is gone
    assert client.quick("ls", room).ok().lines == ["old"]
    assert client.cat(f"{room}/old") == b"as it was"


def test_a_failed_write_is_told_at_the_close_of_a_renamed_file(files, room):
    handle = files.opened.open(at(room, "half"), NEW)
    files.opened.write(handle, 0, b"first half")
    with pytest.raises(FsError):
        files.opened.write(handle, 1 << 62, b"far beyond any file")
    files.rename(at(room, "half"), at(room, "whole"), replacing=True)
    with pytest.raises(FsError, match="a write to it failed earlier"):
        files.opened.close(handle)
    assert names(files, room) == []


def test_two_who_write_one_file_do_not_undo_each_other(served, files, client, room):
    put(files, f"{room}/f", b"old")
    other = served.filesystem()
    mine, theirs = (one.opened.open(at(room, "f"), NEW) for one in (files, other))
    files.opened.write(mine, 0, b"mine")
    other.opened.write(theirs, 0, b"theirs")
    files.opened.close(mine)
    with pytest.raises(ConflictError, match="Another writer changed"):
        other.opened.close(theirs)
    assert client.cat(f"{room}/f") == b"mine"
    put(other, f"{room}/f", b"theirs, then")
    assert client.cat(f"{room}/f") == b"theirs, then"


def test_two_handles_of_one_program_write_one_file(files, client, room):
    first = files.opened.open(at(room, "f"), NEW)
    second = files.opened.open(at(room, "f"), OpenFlag.WRITE | OpenFlag.READ)
    files.opened.write(first, 0, b"one ")
    files.opened.write(second, 4, b"two")
    files.opened.close(first)
    assert files.opened.read(second, 0, 9) == b"one two"
    files.opened.close(second)
    assert client.cat(f"{room}/f") == b"one two"


def test_what_was_abandoned_is_never_published(files, client, room):
    small = files.opened.open(at(room, "small"), NEW)
    large = files.opened.open(at(room, "large"), NEW)
    put(files, f"{room}/old", b"as it was")
    old = files.opened.open(at(room, "old"), NEW)
    for handle in (small, old):
        files.opened.write(handle, 0, b"half of")
    data = random_bytes(MIB)
    for index in range(6):
        files.opened.write(large, index * MIB, data)
    files.opened.abandon([small, large, old])
    assert client.quick("ls", room).ok().lines == ["old"]
    assert client.cat(f"{room}/old") == b"as it was"


def test_pieces_of_a_large_file_are_read_in_any_order(files, client, room):
    data = random_bytes(9 * MIB)
    client.write("large", data)
    client.quick("put", "large", f"{room}/large").ok()
    handle = files.opened.open(at(room, "large"), OpenFlag.READ)
    assert isinstance(handle, ReadHandle)
    for offset in (8 * MIB, 5, MIB - 60, 4 * MIB, 9 * MIB - 3, 2 * MIB, 0):
        assert files.opened.read(handle, offset, 300_000) == data[offset : offset + 300_000]
    assert files.opened.read(handle, 9 * MIB, 10) == b""
    files.opened.close(handle)


def test_many_files_are_read_and_written_at_once(served, files, room):
    data = {f"f{index}": random_bytes(2 * MIB + index) for index in range(12)}
    failed: list[BaseException] = []

    def work(name: str) -> None:
        own = served.filesystem()
        try:
            put(own, f"{room}/{name}", data[name])
            assert content_of(own, f"{room}/{name}") == data[name]
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert sorted(names(files, room)) == sorted(data)


def test_a_write_that_failed_is_not_followed_by_a_version(files, room):
    handle = files.opened.open(at(room, "f"), NEW)
    files.opened.write(handle, 0, b"fine")
    with pytest.raises(Exception, match="large"):
        files.opened.write(handle, 1 << 60, b"not fine")
    with pytest.raises(Exception, match="was not put"):
        files.opened.close(handle)
    assert names(files, room) == []


def test_names_that_cannot_be_and_handles_of_the_wrong_kind_are_refused(files, room):
    for name in ("x" * 65536, "a\x1b", "a\udcff"):
        with pytest.raises(InvalidNameError):
            files.facts(at(room, name))
    put(files, f"{room}/f", b"x")
    reads = files.opened.open(at(room, "f"), OpenFlag.READ)
    writes = files.opened.open(at(room, "f"), OpenFlag.WRITE)
    assert isinstance(writes, WriteHandle)
    with pytest.raises(WrongHandleError):
        files.opened.write(reads, 0, b"x")
    with pytest.raises(WrongHandleError):
        files.opened.read(writes, 0, 1)
    files.opened.abandon([reads, writes])


def test_the_fixed_folders_cannot_be_changed(files):
    for place in (at(), at("@shared"), at("@shared", "somebody")):
        for change in (files.make_folder, files.remove):
            with pytest.raises((NotAllowedError, NotFoundError)):
                change(place)
        with pytest.raises((NotAllowedError, NotFoundError)):
            files.rename(place, at("x"), replacing=True)
    with pytest.raises(NotFoundError):
        files.listing(at("@shared", "nobody"))
    assert names(files, "@shared") == []


def test_read_only_means_that(newcomer):
    person = newcomer().enrol()
    person.quick("mkdir", "d").ok()
    with gateway(person, read_only=True) as running:
        files = running.filesystem()
        assert names(files, "/") == ["d"]
        for change in (
            lambda: files.opened.open(at("f"), NEW),
            lambda: files.make_folder(at("e")),
            lambda: files.make_link(at("l"), b"d"),
            lambda: files.remove(at("d"), folder=True),
            lambda: files.rename(at("d"), at("e"), replacing=True),
            lambda: files.set_attributes(at("d"), Attributes(times=(1, 1))),
        ):
            with pytest.raises(NotAllowedError, match="read-only"):
                change()
        assert "Permission denied" in running.batch("mkdir e", fails=True)
        assert names(files, "/") == ["d"]


def test_what_others_share_is_there_under_their_names(newcomer):
    alice, bob = newcomer().enrol(), newcomer().enrol()
    alice.write("plan", b"secret plan")
    alice.quick("mkdir", "read", "write").ok()
    alice.quick("put", "plan", "read/plan").ok()
    with gateway(bob) as running:
        files = running.filesystem()
        assert names(files, "/") == []
    alice.quick("share", "read", bob.name).ok()
    alice.quick("share", "write", bob.name, "--write").ok()
    with gateway(bob) as running:
        files = running.filesystem()
        top = f"@shared/{alice.name}"
        assert names(files, "/") == ["@shared"]
        assert names(files, "@shared") == [alice.name]
        assert names(files, top) == ["read", "write"]
        assert content_of(files, f"{top}/read/plan") == b"secret plan"
        put(files, f"{top}/write/answer", b"yes")
        assert alice.cat("write/answer") == b"yes"
        with pytest.raises(NotAllowedError, match="gave you read access"):
            put(files, f"{top}/read/plan", b"changed")
        for path in (f"{top}/beside", f"{top}/read/new"):
            with pytest.raises(NotAllowedError):
                put(files, path, b"x")
        with pytest.raises(NotAllowedError):
            files.remove(at(top, "read"), folder=True)
        assert alice.cat("read/plan") == b"secret plan"


def test_work_continues_after_the_server_comes_back(server, tmp_path):
    person = Client(server, "alice", tmp_path / "alice").enrol()
    data = random_bytes(20 * MIB)
    with gateway(person) as running:
        files = running.filesystem()
        put(files, "large", data)
        reads = files.opened.open(at("large"), OpenFlag.READ)
        assert files.opened.read(reads, 0, 10) == data[:10]
        writes = files.opened.open(at("other"), NEW)
        files.opened.write(writes, 0, data[: 5 * MIB])
        server.kill()
        again = server.restart()
        try:
            found = b""
            while piece := files.opened.read(reads, len(found), MIB):
                found += piece
            assert found == data
            files.opened.write(writes, 5 * MIB, data[5 * MIB :])
            files.opened.close(writes)
            assert content_of(files, "other") == data
            assert names(files, "/") == ["large", "other"]
        finally:
            again.stop()

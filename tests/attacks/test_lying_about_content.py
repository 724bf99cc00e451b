"""A hostile server sends false content: other segments, other blobs, another order, or too little.

Known from the sources named in `test_tampered_homes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from fsclient.tree.nodes import TreeNode
from fsproto.limits import SEGMENT_SIZE
from fsproto.messages.files import Fetched, Sent
from fsproto.wire.connection import Data
from tests.support.fixed_keys import stretch, turned
from tests.support.hostile_server import (
    HostileServer,
    Lie,
    Rewrites,
    RewritesSegments,
    Said,
    assert_refused,
    honest_again,
)
from tests.support.world import DRAFT, FILES, NOTES, PLAN, World

Places = dict[str, TreeNode]
QUARTERS = [content for path, content in FILES["alice"].items() if path.startswith("reports")]


def spliced(other: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """Return a lie that replaces one segment by a segment of another blob."""
    piece = other[SEGMENT_SIZE : 2 * SEGMENT_SIZE]
    return lambda true: [true[0], (piece + true[1])[: len(true[1])], *true[2:]]


@pytest.mark.cases(6)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda s: [s[1], s[0], s[2]], id="the first two swapped"),
        pytest.param(lambda s: [s[0], s[2], s[1]], id="the last two swapped"),
        pytest.param(lambda s: [s[0], s[0], s[1], s[2]], id="the first repeated"),
        pytest.param(lambda s: [*s, s[2]], id="the last repeated"),
        pytest.param(lambda s: [s[0], s[1], s[1]], id="one in place of another"),
        pytest.param(lambda s: s[1:], id="without the first"),
        pytest.param(lambda s: s[:2], id="without the last"),
        pytest.param(lambda _: [], id="none"),
        pytest.param(lambda s: [*s[:2], s[2][:-1]], id="the last one shorter"),
        pytest.param(lambda s: [*s[:2], s[2] + b"\0"], id="the last one longer"),
        pytest.param(lambda s: [s[0][:-1], *s[1:]], id="the first one shorter"),
        pytest.param(lambda s: [b"", *s], id="an empty one before"),
        pytest.param(lambda s: [*s[:2], turned(s[2])], id="another tag"),
        pytest.param(lambda s: [*s, *[s[1]] * 40], id="very many more"),
        pytest.param(spliced(stretch("another file", 2 << 20)), id="one of another file"),
    ],
)
def test_only_the_very_segments_that_were_signed_are_taken(
    world: World, liar: HostileServer, how: Callable[[list[bytes]], list[bytes]]
) -> None:
    liar.lie = RewritesSegments(how)
    assert_refused(world.alice, path="plan.bin")


def fetched(how: Callable[[list[bytes]], list[bytes | None]]) -> Lie:
    """Return a lie that replaces the true small blobs by others."""
    return Rewrites(Fetched, lambda true: Fetched(how(true.blobs)))


@pytest.mark.cases(4)
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda b: b[::-1], id="in another order"),
        pytest.param(lambda b: [b[0], b[0]], id="one in place of another"),
        pytest.param(lambda b: [*b, b[0]], id="one more"),
        pytest.param(lambda _: [], id="none"),
        pytest.param(lambda b: [b[0][:-1], b[1][:-1]], id="shorter"),
        pytest.param(lambda b: [one + b"\0" for one in b], id="longer"),
        pytest.param(lambda b: [turned(one) for one in b], id="a bit turned"),
        pytest.param(lambda _: [b"", b""], id="empty"),
        pytest.param(lambda b: [one[:40] for one in b], id="headers alone"),
        pytest.param(lambda b: [bytes(1_000_000), b[1]], id="very large"),
    ],
)
def test_only_the_very_small_blobs_that_were_signed_are_taken(
    world: World, liar: HostileServer, how: Callable[[list[bytes]], list[bytes | None]]
) -> None:
    # Both files have the same size, so that only their content distinguishes them.
    liar.lie = fetched(how)
    into = world.alice.folder / "into"
    into.mkdir()
    ran = world.alice.run("get", "reports/q1.txt", "reports/q2.txt", f"{into}/")
    assert ran.status == 7
    assert "Traceback" not in ran.err
    assert [path for path in into.iterdir() if path.read_bytes() not in QUARTERS] == []


def test_a_small_file_cannot_be_called_gone_without_a_proof(
    world: World, liar: HostileServer
) -> None:
    liar.lie = fetched(lambda _: [None])
    assert_refused(world.alice, status=8)
    honest_again(world, liar)


def test_segments_of_an_older_version_are_refused(world: World, liar: HostileServer) -> None:
    kept: list[bytes] = []

    def keep(true: list[bytes]) -> list[bytes]:
        kept.extend(true)
        return true

    liar.lie = RewritesSegments(keep)
    world.alice.cat("draft.bin")
    liar.lie = Lie()
    world.alice.put("draft.bin", bytes(len(DRAFT))).succeeds()
    for mixed in (lambda _: kept, lambda true: [true[0], kept[1]], lambda true: [kept[0], true[1]]):
        liar.lie = RewritesSegments(mixed)
        assert_refused(world.alice, path="draft.bin")


def test_segments_of_another_persons_file_are_refused(world: World, liar: HostileServer) -> None:
    kept: list[bytes] = []

    def keep(true: list[bytes]) -> list[bytes]:
        kept.extend(true)
        return true

    liar.lie = RewritesSegments(keep)
    world.bob.cat("draft.bin")
    liar.lie = RewritesSegments(lambda _: kept)
    assert_refused(world.alice, path="draft.bin")


def test_a_file_that_is_damaged_and_then_cut_off_is_called_damaged(
    world: World, liar: HostileServer
) -> None:
    class DamagesAndLeaves(Lie):
        def says(self, said: Said) -> Iterable[Said]:
            if isinstance(said, Data):
                if said.index:
                    raise ConnectionResetError
                said = Data(said.stream, 0, memoryview(bytes(len(said.payload))))
            yield said

    liar.lie = DamagesAndLeaves()
    assert_refused(world.alice, path="plan.bin")


def test_one_damaged_file_does_not_spoil_the_others(
    world: World, liar: HostileServer, places: Places
) -> None:
    damaged = places["plan.bin"].manifest.body.content
    assert damaged is not None
    world.blob(damaged.root).write_bytes(bytes(damaged.sealed_size))
    into = world.alice.folder / "into"
    into.mkdir()
    ran = world.alice.run("get", "plan.bin", "notes.txt", "draft.bin", f"{into}/")
    told = ran.fails(7)
    assert "'plan.bin': " in told
    assert "fsclient history plan.bin" in told
    assert {path.name: path.read_bytes() for path in into.iterdir()} == {
        "notes.txt": NOTES,
        "draft.bin": DRAFT,
    }


@pytest.mark.parametrize("size", [0, 1, 1 << 62])
def test_the_end_of_a_file_with_another_size_is_refused(
    world: World, liar: HostileServer, size: int
) -> None:
    liar.lie = Rewrites(Sent, lambda _: Sent(size))
    assert_refused(world.alice, path="plan.bin")


def test_segments_under_other_numbers_are_refused(world: World, liar: HostileServer) -> None:
    class Renumbers(Lie):
        def says(self, said: Said) -> Iterable[Said]:
            if isinstance(said, Data):
                said = Data(said.stream, said.index + 1, said.payload)
            yield said

    liar.lie = Renumbers()
    assert_refused(world.alice, path="plan.bin")


damaged = pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda s: [*s[:2], turned(s[2])], id="another tag"),
        pytest.param(lambda s: s[:2], id="without the last"),
        pytest.param(lambda s: [s[0], s[2], s[1]], id="the last two swapped"),
    ],
)


@pytest.mark.cases(2)
@pytest.mark.parametrize("in_memory", [True, False])
@damaged
def test_no_copy_is_made_of_content_that_does_not_verify(
    world: World,
    liar: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[list[bytes]], list[bytes]],
    in_memory: bool,
) -> None:
    if not in_memory:
        monkeypatch.setattr("fsclient.operations.copy.IN_MEMORY", 1000)
    liar.lie = RewritesSegments(how)
    world.alice.run("cp", "plan.bin", "copy.bin").fails(7)
    honest_again(world, liar)
    assert b"copy.bin" not in world.alice.run("ls").succeeds()
    world.alice.run("cp", "plan.bin", "copy.bin").succeeds()
    assert world.alice.cat("copy.bin") == PLAN


@damaged
def test_a_file_that_comes_over_a_connection_of_its_own_is_verified_too(
    world: World,
    liar: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
    how: Callable[[list[bytes]], list[bytes]],
) -> None:
    monkeypatch.setattr("fsclient.transfer.down.many.WORTH_KEEPING", 1000)
    liar.lie = RewritesSegments(how)
    into = world.alice.folder / "into"
    into.mkdir()
    ran = world.alice.run("get", "--jobs", "2", "plan.bin", "notes.txt", f"{into}/")
    assert ran.status == 7
    assert [path.name for path in into.iterdir()] == ["notes.txt"]
    honest_again(world, liar)
    world.alice.run("get", "--jobs", "2", "plan.bin", f"{into}/").succeeds()
    assert (into / "plan.bin").read_bytes() == PLAN

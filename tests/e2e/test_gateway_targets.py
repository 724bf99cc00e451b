"""Renames, removals and other changes on every kind of target, as OpenSSH's server does them.

The table is generated: each request on each kind of target, or pair of targets, goes to both
servers. Compared are the answer, what is at each path afterwards, what open handles read, and what
is there when they are closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from fskit.sftp.codes import OpenFlag, Request
from fskit.sftp.packets import Attributes, string, u32, u64
from tests.conftest import TIER
from tests.support.gateways import gateway
from tests.support.sftp_requests import Answer, SftpRequests, gateway_requests, stock_server

KINDS = (
    "missing", "file", "read", "written", "new", "empty", "full", "busy",
    "link", "to-folder", "dangling",
)  # fmt: skip
"""What is at a path: `read` and `written` are files that are open, `new` was just created, `full`
is a folder with a file in it, `busy` one with a new file that is open."""
WRITE = OpenFlag.WRITE | OpenFlag.READ
WRITE_AT_END = OpenFlag.WRITE | OpenFlag.APPEND
NEW = WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE

Compare = Callable[["dict[str, Case]"], dict[str, list[list[object]]]]
Act = Callable[[SftpRequests, str], Answer]
ACTS: dict[str, Act] = {
    "remove": lambda server, at: server.answer(Request.REMOVE, server.path(at)),
    "rmdir": lambda server, at: server.answer(Request.RMDIR, server.path(at)),
    "mkdir": lambda server, at: server.answer(
        Request.MKDIR, server.path(at), Attributes().packed()
    ),
    "symlink": lambda server, at: server.answer(Request.SYMLINK, string("x"), server.path(at)),
    "readlink": lambda server, at: server.answer(Request.READLINK, server.path(at)),
    "opendir": lambda server, at: server.listing(at),
    "shorten": lambda server, at: setstat(server, at, Attributes(size=3)),
    "lengthen": lambda server, at: setstat(server, at, Attributes(size=30)),
    "times": lambda server, at: setstat(server, at, Attributes(times=(5, 7))),
    "modes": lambda server, at: setstat(server, at, Attributes(permissions=0o755)),
    "lsetstat-times": lambda server, at: server.answer(
        Request.EXTENDED,
        string("lsetstat@openssh.com"),
        server.path(at),
        Attributes(times=(5, 7)).packed(),
    ),
    "lsetstat-size": lambda server, at: server.answer(
        Request.EXTENDED,
        string("lsetstat@openssh.com"),
        server.path(at),
        Attributes(size=3).packed(),
    ),
    "stat": lambda server, at: server.answer(Request.STAT, server.path(at)),
}
INSIDE = ("remove", "rmdir", "mkdir", "stat", "opendir")
"""What is also tried on a path below the target."""


def setstat(server: SftpRequests, at: str, wanted: Attributes) -> Answer:
    return server.answer(Request.SETSTAT, server.path(at), wanted.packed())


def lay(folder: Path, names: list[tuple[str, str]]) -> Path:
    """Make what exists before the first request; `names` has paths with their kind."""
    folder.mkdir()
    for name, kind in names:
        place = folder / name
        match kind:
            case "file" | "read" | "written":
                place.write_bytes(b"content")
            case "empty" | "full" | "busy":
                place.mkdir()
                if kind == "full":
                    (place / "inside").write_bytes(b"inside")
            case "link" | "to-folder":
                place.symlink_to(f"of-{name}")
                aim = folder / f"of-{name}"
                aim.mkdir() if kind == "to-folder" else aim.write_bytes(b"aim")
            case "dangling":
                place.symlink_to("nothing")
    return folder


def opened(server: SftpRequests, name: str, kind: str) -> list[bytes]:
    """Open the handles that belong to a kind of target."""
    match kind:
        case "read":
            answers = [server.open(name, OpenFlag.READ)]
        case "written":
            answers = [server.open(name, WRITE), server.open(name, OpenFlag.READ)]
        case "new":
            answers = [server.open(name, NEW)]
        case "busy":
            answers = [server.open(f"{name}/inside", NEW)]
        case _:
            return []
    handles = [answer[1] for answer in answers]
    if kind != "read":
        assert server.write(handles[0], 0, b"started") == ("OK",)
    return handles


def shown(name: str, kind: str) -> list[str]:
    """Return the paths that may change together with a target."""
    if kind in {"link", "to-folder"}:
        return [name, f"{name}/inside", f"of-{name}"]
    return [name, f"{name}/inside"]


def trace(
    server: SftpRequests, names: list[tuple[str, str]], act: Callable[[], Answer]
) -> list[object]:
    """Return all that a client sees of an act: during, after, and once all handles are closed."""
    handles = [one for name, kind in names for one in opened(server, name, kind)]
    steps: list[object] = [act()]
    paths = [path for name, kind in names for path in shown(name, kind)]
    steps.append([server.content(path) for path in paths])
    for handle in handles:
        steps.append(server.write(handle, 7, b", later"))
        steps.append(server.read(handle, 0, 100))
        steps.append(server.answer(Request.FSTAT, string(handle))[:2])
    steps.extend(server.close(handle) for handle in handles)
    steps.append([server.content(path) for path in paths])
    return steps


Case = tuple[list[tuple[str, str]], Callable[[SftpRequests], Answer]]


@pytest.fixture
def compare(newcomer, tmp_path: Path) -> Compare:
    """A function that runs cases at both servers and returns those with different traces."""

    def run(cases: dict[str, Case]) -> dict[str, list[list[object]]]:
        names = [one for known, _ in cases.values() for one in known]
        client = newcomer().enrol()
        client.run("put", lay(tmp_path / "all", names), "all").ok()
        different = {}
        with (
            gateway(client) as running,
            stock_server(tmp_path / "all") as stock,
            gateway_requests(running.filesystem(), "all") as ours,
        ):
            for case, (known, act) in cases.items():
                seen = [trace(one, known, partial(act, one)) for one in (ours, stock)]
                if seen[0] != seen[1]:
                    different[case] = seen
        return different

    return run


def renamed(old: str, new: str, *, replacing: bool) -> Callable[[SftpRequests], Answer]:
    return lambda server: server.rename(old, new, replacing=replacing)


def acted(act: Act, path: str) -> Callable[[SftpRequests], Answer]:
    return lambda server: act(server, path)


def rename_cases(*, replacing: bool) -> dict[str, Case]:
    """Return renames of each kind onto each kind; every third one, unless the tier is `soak`.

    Each kind is still renamed, and replaced, several times; another third for each way to rename.
    """
    cases: dict[str, Case] = {}
    some = 1 if TIER == "soak" else 3
    for old, new in list(product(KINDS, KINDS))[int(replacing) % some :: some]:
        one, other = f"{old}-{new}-a", f"{old}-{new}-b"
        cases[f"{old} onto {new}"] = (
            [(one, old), (other, new)],
            renamed(one, other, replacing=replacing),
        )
    for kind in KINDS:
        for word, ends in {
            "itself": ("", ""),
            "into itself": ("", "/inside"),
            "onto its folder": ("/inside", ""),
            "into a missing folder": ("", "-missing/x"),
        }.items():
            name = f"{kind}-{word.replace(' ', '-')}"
            old, new = (name + end for end in ends)
            cases[f"{kind} {word}"] = (
                [(name, kind)],
                renamed(old, new, replacing=replacing),
            )
    return cases


def test_renames_do_what_they_do_in_openssh(compare: Compare):
    assert compare(rename_cases(replacing=False)) == {}


def test_posix_renames_do_what_they_do_in_openssh(compare: Compare):
    assert compare(rename_cases(replacing=True)) == {}


def test_changes_of_one_target_do_what_they_do_in_openssh(compare: Compare):
    cases: dict[str, Case] = {}
    some = 1 if TIER == "soak" else 2  # of each change, every other kind of target
    for word, kind in list(product(ACTS, KINDS))[::some]:
        for below in ("", "/inside") if word in INSIDE else ("",):
            name = f"{word}-{kind}{below and '-inside'}"
            cases[f"{word} of {kind}{below}"] = (
                [(name, kind)],
                acted(ACTS[word], name + below),
            )
    assert compare(cases) == {}


DATA = bytes(range(250)) * 4
COPIES = {
    "all of it": (0, 0, 0),
    "the rest": (600, 0, 7),
    "a part": (10, 20, 900),
    "to its end": (10, 990, 0),
    "beyond its end": (10, 991, 0),
    "far beyond its end": (10, 100_000, 0),
    "from its end": (1000, 0, 0),
    "from beyond its end": (2000, 5, 0),
}


def copied(server: SftpRequests, start: int, length: int, at: int) -> list[Answer]:
    """Copy from one open file to others and to itself by `copy-data`; return all answers."""
    assert server.open("source", NEW)[0] == server.open("target", NEW)[0] == "handle"
    source, reads = (server.open("source", flags)[1] for flags in (WRITE, OpenFlag.READ))
    target, appends = (server.open("target", flags)[1] for flags in (WRITE, WRITE_AT_END))
    server.write(source, 0, DATA)

    def copy(one: bytes, other: bytes) -> Answer:
        fields = string(one), u64(start), u64(length), string(other), u64(at)
        return server.answer(Request.EXTENDED, string("copy-data"), *fields)

    pairs = (source, target), (reads, target), (reads, appends), (reads, source), (source, source)
    answers = [copy(*pair) for pair in pairs]
    answers += [server.read(one, 0, 100_000) for one in (source, target)]
    return answers


def test_data_is_copied_between_open_files_as_in_openssh(newcomer, tmp_path: Path):
    with (
        gateway(newcomer().enrol()) as running,
        stock_server(tmp_path) as stock,
        gateway_requests(running.filesystem(), "") as ours,
    ):
        for name, (start, length, at) in COPIES.items():
            assert copied(ours, start, length, at) == copied(stock, start, length, at), name


def test_a_tilde_is_the_top_of_the_tree(newcomer):
    with (
        gateway(newcomer().enrol()) as running,
        gateway_requests(running.filesystem(), "none") as one,
    ):
        for path, found in {
            "~": ("names", "/"),
            "~/": ("names", "/"),
            "~/a b": ("names", "/a b"),
            "a~": ("names", "/a~"),
            "": ("names", "/"),
            "~root/x": ("NO_SUCH_FILE",),
            "missing/x": ("NO_SUCH_FILE",),
        }.items():
            expand = string("expand-path@openssh.com"), string(path)
            assert one.answer(Request.EXTENDED, *expand) == found


@pytest.mark.parametrize("numbers", [(), (0, 1 << 31), (os.getuid(), os.getgid())], ids=str)
def test_users_and_groups_have_the_names_that_openssh_gives_them(
    newcomer, tmp_path: Path, numbers: tuple[int, ...]
):
    wanted = string(b"".join(map(u32, numbers)))
    ask = string("users-groups-by-id@openssh.com"), wanted, wanted
    with (
        gateway(newcomer().enrol()) as running,
        stock_server(tmp_path) as stock,
        gateway_requests(running.filesystem(), "none") as ours,
    ):
        told = [one.ask(Request.EXTENDED, *ask) for one in (ours, stock)]
        assert told[0][0] == told[1][0]
        assert [bytes(told[0][1].string()) for _ in "ug"] == [
            bytes(told[1][1].string()) for _ in "ug"
        ]

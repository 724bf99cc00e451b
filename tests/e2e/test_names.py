"""Names of files: accents in two forms, case, and names that a folder does not take."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client_processes import CONFLICT, USAGE, Client
from tests.support.fixed_keys import stretch
from tests.support.folding_folder import folding_folder

NFC, NFD = "caf\u00e9.txt", "cafe\u0301.txt"
FOLDER_NFC, FOLDER_NFD = "d\u00fcr", "du\u0308r"
LARGE = 5 << 20


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, by their exact paths."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def remote_contents(client: Client, remote: str, to: Path) -> dict[str, bytes]:
    client.quick("get", f"{remote}/", f"{to}/").ok()
    return contents(to / Path(remote).name)


@pytest.fixture
def folding(tmp_path: Path) -> Iterator[Path]:
    """A mounted folder in which names fold case."""
    with folding_folder(tmp_path) as folder:
        yield folder


# --- accents


@pytest.mark.cases(2)
@pytest.mark.parametrize("local", [NFC, NFD])
@pytest.mark.parametrize("pattern", [NFC, NFD, "caf*.txt", "*\u00e9.txt"])
def test_a_local_file_that_is_excluded_is_never_removed(client, local, pattern):
    client.write("src/other", b"1")
    client.quick("put", "src", f"{client.room}/").ok()
    client.write(f"dst/{local}", b"mine")
    client.write("patterns", pattern.encode())
    for exclude in (["--exclude", pattern], ["--exclude-from", "patterns"]):
        options = "--down", "--delete", *exclude
        client.quick("sync", *options, "dst", f"{client.room}/src").ok()
        assert contents(client.folder / "dst") == {local: b"mine", "other": b"1"}


@pytest.mark.cases(1)
@pytest.mark.parametrize("local", [FOLDER_NFC, FOLDER_NFD])
@pytest.mark.parametrize("pattern", [f"{FOLDER_NFC}/", f"{FOLDER_NFD}/", f"/{FOLDER_NFC}/{NFC}"])
def test_a_folder_with_accents_is_excluded_in_both_directions(client, local, pattern):
    client.write(f"one/{local}/{NFD}", b"mine")
    client.quick("put", "one", f"{client.room}/").ok()
    client.write("two/x", b"x")
    exclude = "--delete", "--exclude", pattern
    client.quick("sync", *exclude, "two", f"{client.room}/one").ok()
    assert client.cat(f"{client.room}/one/{FOLDER_NFC}/{NFC}") == b"mine"
    client.quick("rm", "-r", f"{client.room}/one/{FOLDER_NFC}").ok()
    client.quick("sync", "--down", *exclude, "one", f"{client.room}/one").ok()
    assert contents(client.folder / "one") == {f"{local}/{NFD}": b"mine", "x": b"x"}


def test_the_file_that_is_there_in_the_other_form_is_replaced(client):
    client.write(f"t/{FOLDER_NFD}/{NFD}", b"version 1")
    client.quick("put", "t", f"{client.room}/").ok()
    client.write(f"other/{FOLDER_NFC}/{NFC}", b"version two")
    client.quick("put", f"other/{FOLDER_NFC}", f"{client.room}/t/").ok()
    remote = f"{client.room}/t"
    client.quick("sync", "--down", "--delete", "t", remote).ok()
    assert contents(client.folder / "t") == {f"{FOLDER_NFD}/{NFD}": b"version two"}
    client.quick("sync", "--delete", "t", remote).ok()
    client.quick("get", remote, ".").ok()
    client.quick("get", f"{remote}/{FOLDER_NFC}", "t/").ok()
    assert contents(client.folder / "t") == {f"{FOLDER_NFD}/{NFD}": b"version two"}
    assert client.cat(f"{remote}/{FOLDER_NFC}/{NFC}") == b"version two"


@pytest.mark.cases(2)
@pytest.mark.parametrize("command", ["put", "sync"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_of_two_local_files_with_one_name_neither_is_put(client, command, kind):
    client.write(f"t/{NFC}", b"before")
    client.quick("put", "t", f"{client.room}/").ok()
    shutil.rmtree(client.folder / "t")
    inside = "/x" if kind == "folder" else ""
    for name, content in ((NFC, b"2"), (NFD, b"1")):
        client.write(f"t/{name}{inside}", content)
    client.write("t/z", b"put")
    target = "t", f"{client.room}/" + ("t" if command == "sync" else "")
    ran = client.quick(command, *target, *(["--delete"] if command == "sync" else []))
    ran.fails(CONFLICT, NFC, NFD)
    assert len([said for said in ran.complaints if "accents" in said]) == 1
    assert client.cat(f"{client.room}/t/{NFC}") == b"before"
    assert client.cat(f"{client.room}/t/z") == b"put"


def test_of_two_local_files_with_one_name_none_is_removed(client):
    client.write(f"t/{NFC}", b"remote")
    client.quick("put", "t", f"{client.room}/").ok()
    client.write(f"t/{NFD}", b"mine")
    client.write("t/extra", b"extra")
    ran = client.quick("sync", "--down", "--delete", "t", f"{client.room}/t").fails(CONFLICT, NFD)
    assert len([said for said in ran.complaints if "accents" in said]) == 1
    assert contents(client.folder / "t") == {NFC: b"remote", NFD: b"mine", "extra": b"extra"}


# --- names that cannot be


@pytest.fixture(scope="session")
def latin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a locale in ISO 8859-1."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed here, so there is no locale in ISO 8859-1")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"localedef makes no locale in ISO 8859-1: {done.stderr.decode()}")
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_name_that_the_locale_cannot_express_is_a_failure_of_its_own(client, latin, size):
    for name in ("a", "€.txt", "z"):
        client.write(f"lat/{name}", stretch(name, size))
    client.write("lat/€/inside", b"x")
    (client.folder / "lat/€link").symlink_to("a")
    client.quick("put", "lat", f"{client.room}/").ok()
    for command in (
        ["get", f"{client.room}/lat", "out"],
        ["sync", "--down", "--delete", "out", f"{client.room}/lat"],
    ):
        ran = client.run(*command, **latin)
        ran.fails(USAGE, "iso8859-1", "UTF-8")
        assert len(ran.complaints) == 3
        named = [f"'{client.room}/lat/\\u20ac{end}'" for end in ("", ".txt", "link")]
        assert sorted(said.split()[0] for said in ran.complaints) == sorted(named)
        assert contents(client.folder / "out").keys() == {"a", "z"}


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_name_that_the_file_system_refuses_is_a_failure_of_its_own(client, folding, size):
    for name in ("a", "a:b", "f:g/inside", "z"):
        client.write(f"t/{name}", stretch(name, size))
    (client.folder / "t/l:k").symlink_to("a")
    client.quick("put", "t", f"{client.room}/").ok()
    for _ in range(2):
        ran = client.quick("get", f"{client.room}/t", f"{folding}/")
        ran.fails(USAGE, "a:b", "f:g", "l:k", "does not take")
        assert len(ran.complaints) == 3
        assert contents(folding / "t").keys() == {"a", "z"}
        assert not [name for name in contents(folding / "t") if name.startswith(".")]


# --- case


def test_names_that_differ_in_case_are_refused_where_the_folder_folds_case(client, folding):
    for name in ("README", "readme", "Docs/x", "docs/y", "other"):
        client.write(f"t/{name}", name.encode())
    client.quick("put", "t", f"{client.room}/").ok()
    remote = f"{client.room}/t"
    for command in (["get", remote, f"{folding}/"], ["sync", "--down", str(folding / "t"), remote]):
        ran = client.quick(*command)
        ran.fails(CONFLICT, f"{remote}/readme", f"{remote}/docs")
        assert len(ran.complaints) == 2
        assert contents(folding / "t") == {
            "README": b"README",
            "Docs/x": b"Docs/x",
            "other": b"other",
        }
    (folding / "t/other").unlink()
    ran = client.quick("sync", "--delete", str(folding / "t"), remote)
    ran.fails(CONFLICT, f"{remote}/readme", f"{remote}/docs")
    assert client.cat(f"{remote}/readme") == b"readme"
    assert client.cat(f"{remote}/docs/y") == b"docs/y"


def test_a_two_way_sync_leaves_names_alone_that_one_side_cannot_hold(client, folding):
    for name in ("README", "readme", "a:b", "other", "gone"):
        client.write(f"t/{name}", name.encode())
    client.quick("put", "t", f"{client.room}/").ok()
    remote = f"{client.room}/t"
    sync = "sync", "--two-way", str(folding), remote
    for _ in range(2):
        client.quick(*sync).fails(CONFLICT, f"{remote}/readme", "a:b")
        assert contents(folding) == {"README": b"README", "other": b"other", "gone": b"gone"}
    client.write("t/new", b"new")
    client.quick("put", "t/new", f"{remote}/").ok()
    client.quick("rm", f"{remote}/gone").ok()
    client.quick(*sync).fails(CONFLICT, f"{remote}/readme", "a:b")
    assert contents(folding) == {"README": b"README", "other": b"other", "new": b"new"}
    assert client.cat(f"{remote}/readme") == b"readme"
    assert client.cat(f"{remote}/a:b") == b"a:b"


def test_a_dry_run_finds_the_names_that_differ_in_case(client, folding):
    for name in ("README", "readme"):
        client.write(f"t/{name}", name.encode())
    client.quick("put", "t", f"{client.room}/").ok()
    (folding / "some file").write_bytes(b"")
    ran = client.quick("get", "-n", f"{client.room}/t", f"{folding}/")
    ran.fails(CONFLICT, "readme")
    assert contents(folding).keys() == {"some file"}


def test_the_file_with_exactly_that_name_is_kept_of_two(client, folding):
    for name in ("README", "readme"):
        client.write(f"t/{name}", name.encode())
    client.quick("put", "t", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/t/readme", f"{folding}/").ok()
    client.quick("sync", "--down", str(folding), f"{client.room}/t").fails(CONFLICT, "t/README")
    assert contents(folding) == {"readme": b"readme"}


def test_a_file_in_other_case_is_the_same_file_there(client, folding):
    client.write("t/Readme", b"remote")
    client.quick("put", "t", f"{client.room}/").ok()
    (folding / "README").write_bytes(b"local, older")
    client.quick("sync", "--down", "--delete", str(folding), f"{client.room}/t").ok()
    assert contents(folding) == {"README": b"remote"}
    client.quick("sync", "--delete", str(folding), f"{client.room}/t").ok()
    assert client.names(f"{client.room}/t") == ["README"]
    assert client.cat(f"{client.room}/t/README") == b"remote"


def test_patterns_fold_case_where_the_folder_does(client, folding):
    client.write("t/other", b"other")
    client.quick("put", "t", f"{client.room}/").ok()
    for folder in (client.folder / "exact", folding):
        folder.mkdir(exist_ok=True)
        (folder / "readme").write_bytes(b"mine")
        options = "--down", "--delete", "--exclude", "README"
        client.quick("sync", *options, str(folder), f"{client.room}/t").ok()
    assert contents(folding) == {"readme": b"mine", "other": b"other"}
    assert contents(client.folder / "exact") == {"other": b"other"}


def test_names_that_differ_in_case_are_two_files_where_the_folder_says_so(client):
    for name in ("README", "readme"):
        client.write(f"t/{name}", name.encode())
    client.quick("put", "t", f"{client.room}/").ok()
    client.quick("get", f"{client.room}/t", "back").ok()
    assert contents(client.folder / "back") == {"README": b"README", "readme": b"readme"}


# --- all of it at random

SPELLED = ["\u00e9", "e\u0301", "\u00c9", "E\u0301", "a", "A", "\u1e9b\u0323", "\u017f\u0323\u0307"]
NAMES = st.sets(st.lists(st.sampled_from(SPELLED), min_size=1, max_size=2).map("".join), max_size=5)
ROUNDS = itertools.count()


def canonical(name: str) -> str:
    return unicodedata.normalize("NFC", name)


@settings(
    max_examples=settings().max_examples // 5,  # each takes half a second
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(here=NAMES, there=NAMES, excluded=NAMES)
def test_no_excluded_file_is_removed_and_none_is_lost_up_and_down(client, here, there, excluded):
    number = next(ROUNDS)
    top, remote = client.folder / f"top{number}", f"{client.room}/top{number}"
    top.mkdir()
    for name in here:
        (top / name).write_bytes(b"here " + name.encode())
    once = {canonical(name): name for name in there}
    source = client.folder / f"source{number}"
    source.mkdir()
    for name in once.values():
        (source / name).write_bytes(b"there " + name.encode())
    client.quick("sync", str(source), remote).ok()
    patterns = [word for name in excluded for word in ("--exclude", name)]
    hidden = {canonical(name) for name in excluded}
    remote_before = remote_contents(client, remote, client.folder / f"before{number}")
    up = client.quick("sync", "--delete", *patterns, str(top), remote)
    after_up = remote_contents(client, remote, client.folder / f"up{number}")
    # What is excluded at the server stays as it was.
    kept = {name: data for name, data in remote_before.items() if name in hidden}
    assert kept.items() <= after_up.items()
    spelled = {
        name: {one for one in here if canonical(one) == name} for name in map(canonical, here)
    }
    for name, ways in spelled.items():
        if name not in hidden and len(ways) == 1:
            assert after_up[name] == (top / ways.pop()).read_bytes()
    doubled = any(len(ways) > 1 and name not in hidden for name, ways in spelled.items())
    assert (up.status == CONFLICT) is doubled, up.err
    # Down again: nothing local is lost, whatever its spelling.
    local_before = contents(top)
    client.quick("sync", "--down", "--delete", *patterns, str(top), remote)
    local_after = contents(top)
    assert local_before.keys() <= local_after.keys()
    for name in local_before:
        if canonical(name) in hidden or len(spelled[canonical(name)]) == 1:
            assert local_after[name] == local_before[name]

"""Valid names, and the paths that users type."""

from __future__ import annotations

import pytest

from fsproto.errors import InvalidNameError
from fsproto.limits import MAX_PATH_PARTS
from fsproto.names import RemotePath, clean_name, clean_user, for_terminal, parse_path


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "q3.pdf",
        "...",
        ".hidden",
        "a b",
        " a",
        "a:b",
        "~",
        "-rf",
        "übersicht",
        "日本語",
        "👩‍💻",
        "x" * 255,
    ],
)
def test_every_harmless_name_is_allowed(name: str):
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "/", "a/b", "/a", "a/"),
        *("a\0b", "a\nb", "a\rb", "a\tb", "\x1b[2J", "a\x7f", "a\x9b", "a\u2028b", "a\u2029b"),
        *("\ud800", "a\udcff"),
        *("x" * 256, "ü" * 128, "日" * 86),
    ],
)
def test_a_name_that_could_do_harm_is_refused(name: str):
    with pytest.raises(InvalidNameError):
        clean_name(name)


def test_a_name_is_measured_and_kept_in_its_normal_form():
    assert clean_name("u\u0308" * 127) == "ü" * 127
    # Hangul: 3 bytes composed, 9 decomposed.
    assert clean_name("\u1112\u1161\u11ab" * 85) == "한" * 85
    with pytest.raises(InvalidNameError):
        clean_name("u\u0308" * 128)


@pytest.mark.parametrize("name", ["a", "alice", "a.b-c_1", "0", "x" * 64])
def test_a_user_name_is_short_and_plain(name: str):
    assert clean_user(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Alice",
        "a:b",
        "a/b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a b",
        "ä",
        "a\n",
        "\na",
        "x" * 65,
        "..",
        "\u0661",
    ],
)
def test_any_other_user_name_is_refused(name: str):
    with pytest.raises(InvalidNameError):
        clean_user(name)


@pytest.mark.parametrize(
    ("typed", "owner", "parts", "is_folder"),
    [
        ("/", None, (), True),
        (".", None, (), True),
        ("a", None, ("a",), False),
        ("a/", None, ("a",), True),
        ("/a/b", None, ("a", "b"), False),
        ("a//b/./c", None, ("a", "b", "c"), False),
        ("a/.", None, ("a",), True),
        ("./a:b", None, ("a:b",), False),
        ("/a:b", None, ("a:b",), False),
        ("a/b:c", None, ("a", "b:c"), False),
        ("alice:", "alice", (), True),
        ("alice:/", "alice", (), True),
        ("alice:reports/q3.pdf", "alice", ("reports", "q3.pdf"), False),
        ("alice:b:c", "alice", ("b:c",), False),
    ],
)
def test_what_people_type_for_a_place(
    typed: str, owner: str | None, parts: tuple[str, ...], is_folder: bool
):
    assert parse_path(typed) == RemotePath(owner, parts, names_folder=is_folder)


@pytest.mark.parametrize(
    "typed",
    ["", "..", "a/..", "../a", "a/../b", "alice:..", ":a", "Alice:a", "a b:c", "a\0", "a/\x1b"],
)
def test_what_leads_out_or_nowhere_is_refused(typed: str):
    with pytest.raises(InvalidNameError):
        parse_path(typed)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("x", ("alice", ("a", "b", "x"))),
        (".", ("alice", ("a", "b"))),
        ("..", ("alice", ("a",))),
        ("../c/./d", ("alice", ("a", "c", "d"))),
        ("../../../..", ("alice", ())),
        ("/x", (None, ("x",))),
        ("/", (None, ())),
        ("bob:x/../y", ("bob", ("y",))),
    ],
)
def test_a_path_in_a_shell_starts_at_its_current_folder(text: str, path: tuple[object, object]):
    found = parse_path(text, RemotePath("alice", ("a", "b"), names_folder=True))
    assert (found.owner, found.parts) == path
    assert found.names_folder == (text.rpartition("/")[2] in ("", ".", ".."))


def test_a_path_has_an_end():
    assert len(parse_path("a/" * MAX_PATH_PARTS).parts) == MAX_PATH_PARTS
    with pytest.raises(InvalidNameError, match="128"):
        parse_path("a/" * (MAX_PATH_PARTS + 1))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (RemotePath(None, ()), "/"),
        (RemotePath("alice", ()), "alice:"),
        (RemotePath("alice", ("a", "b")), "alice:a/b"),
        (RemotePath(None, ("a", "b")), "a/b"),
        # Without `./`, the user's own file would look like a file of alice.
        (RemotePath(None, ("alice:secret", "b")), "./alice:secret/b"),
        (RemotePath(None, ("a", "b:c")), "a/b:c"),
        (RemotePath(None, ("\u202efdp.exe",)), "\\u202efdp.exe"),
    ],
)
def test_a_path_is_shown_as_it_would_be_typed(path: RemotePath, shown: str):
    assert str(path) == shown


def test_the_parent_of_a_root_is_the_root():
    root = RemotePath("alice", (), names_folder=True)
    assert root.parent == root
    assert root.name == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 日本", "plain ü 日本"),
        ("\x1b[31m", "\\u001b[31m"),
        ("a\nb\rc", "a\\u000ab\\u000dc"),
        ("txt.\u202eexe", "txt.\\u202eexe"),
        ("\u2066\u2069\ufeff\ue000\u2028", "\\u2066\\u2069\\ufeff\\ue000\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\ue0041"),
        ("👩\u200d💻 co\u00adop", "👩\u200d💻 co\u00adop"),
    ],
)
def test_what_a_terminal_might_obey_is_made_visible(text: str, shown: str):
    assert for_terminal(text) == shown

"""Paths of SFTP clients: how they resolve, and that they never leave the tree."""

from __future__ import annotations

import pytest

from fsclient.gateway.paths import GatewayPath, place_of
from fsproto.errors import InvalidNameError, NotFoundError
from fsproto.names import RemotePath


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", ()),
        (".", ()),
        ("/", ()),
        ("/a//b/./c/", ("a", "b", "c")),
        ("a/../b", ("b",)),
        ("/../../../etc/passwd", ("etc", "passwd")),
        ("a/b/../../../../c", ("c",)),
        ("cafe\u0301", ("caf\u00e9",)),
        ("~", ("~",)),
        ("a:b", ("a:b",)),
        ("..a/...", ("..a", "...")),
    ],
)
def test_a_path_is_resolved_as_text_and_ends_inside(path, parts):
    assert place_of(path) == GatewayPath(parts)


def test_a_link_is_relative_to_its_folder():
    assert str(place_of("../x", GatewayPath(("a", "b")))) == "/a/x"
    assert str(place_of("/x", GatewayPath(("a", "b")))) == "/x"


@pytest.mark.parametrize("path", ["a\0b", "x" * 65536, "a/\udce9", "\x1b[2J", "/".join("a" * 200)])
def test_an_impossible_name_is_refused(path):
    with pytest.raises(InvalidNameError) as caught:
        place_of(path)
    assert len(caught.value.sentence) < 300
    assert caught.value.sentence.isprintable()


def test_what_others_share_lies_under_their_names():
    assert place_of("/@shared/alice/a/b").remote() == RemotePath("alice", ("a", "b"))
    assert place_of("/@shared").is_sharers
    assert place_of("/x/@shared/y").remote() == RemotePath(None, ("x", "@shared", "y"))
    with pytest.raises(NotFoundError):
        place_of("/@shared/NOBODY CAN BE CALLED THAT/x").remote()


@pytest.mark.parametrize(
    ("path", "fixed"),
    [("/", True), ("/@shared", True), ("/@shared/a", True), ("/@shared/a/b", False), ("/a", False)],
)
def test_what_nobody_has_made_cannot_be_changed(path, fixed):
    assert place_of(path).is_fixed is fixed

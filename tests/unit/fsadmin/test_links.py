"""The address in an enrolment link: fsd's listening address, unless `--host` gives another."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from fsadmin import output
from fsadmin.cli import main
from fsd.home.home import Home
from fskit.text import binary_size_text
from fsproto import crypto
from fsproto.link import parse_link


@pytest.fixture
def home(home_with_alice: Path, tmp_path: Path) -> Home:
    return Home(shutil.copytree(home_with_alice, tmp_path / "home"))


@pytest.fixture
def link(home, monkeypatch, capsys):
    """Rotate a secret; return the address in the enrolment link, and stderr."""

    def made(*options: str) -> tuple[str, str]:
        args = ["fsadmin", "--home", str(home.path), "rotate-secret", "alice", *options, "--json"]
        monkeypatch.setattr(sys, "argv", args)
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == 0
        handed = json.loads(out)
        read = parse_link(handed["enroll_link"])
        assert (read.user, str(read)) == ("alice", handed["enroll_link"])
        assert read.host_key == crypto.fingerprint(home.host_key().public)
        assert handed["secret"] not in handed["enroll_link"]
        return str(read.address), err

    return made


@pytest.mark.parametrize(
    ("listened", "options", "expected"),
    [
        (None, (), "127.0.0.1:65432"),
        ("127.0.0.1:4711", (), "127.0.0.1:4711"),
        ("[::1]:4711", (), "[::1]:4711"),
        ("127.0.0.1:4711", ("--host", "files.example.org"), "files.example.org:4711"),
        ("127.0.0.1:4711", ("--host", "files.example.org:99"), "files.example.org:99"),
        ("127.0.0.1:4711", ("--host", "[2001:db8::1]"), "[2001:db8::1]:4711"),
        ("127.0.0.1:4711", ("--host", "[2001:db8::1]:99"), "[2001:db8::1]:99"),
        ("0.0.0.0:4711", ("--host", "192.0.2.1"), "192.0.2.1:4711"),
        ("127.0.0.1:4711", ("--host", "[fe80::1%eth0]"), "[fe80::1%eth0]:4711"),
        ("[fe80::1%eth0]:4711", (), "[fe80::1%eth0]:4711"),
        ("127.0.0.1:4711", ("--host", "bücher.example:99"), "bücher.example:99"),
        (None, ("--host", "files.example.org"), "files.example.org:65432"),
    ],
)
def test_a_link_leads_to_where_people_reach_the_server(home, link, listened, options, expected):
    if listened is not None:
        home.note_run(listened, None)
    assert link(*options) == (expected, "")


@pytest.mark.parametrize(
    "host",
    ["h:0", "fe80::1", "[h]", "h%eth0", "[fe80::1%]", "a..b", "-oProxyCommand=x", "h:", "h:65536"],
)
def test_an_address_that_fsclient_would_refuse_changes_nothing(home, monkeypatch, capsys, host):
    before = (home.path / "fsd.db").read_bytes()
    args = ["fsadmin", "--home", str(home.path), "rotate-secret", "alice", f"--host={host}"]
    monkeypatch.setattr(sys, "argv", args)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
    assert (home.path / "fsd.db").read_bytes() == before


@pytest.mark.parametrize("listened", ["0.0.0.0:4711", "[::]:4711"])
def test_a_link_to_no_address_at_all_comes_with_a_warning(home, link, listened):
    home.note_run(listened, None)
    address, warning = link()
    assert address == listened
    assert "--host" in warning


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3_565_158, "3.4 MiB"),
        (10 * 1024**3, "10.0 GiB"),
        (2**63, "8.0 EiB"),
        (2**73, "8192.0 EiB"),
    ],
)
def test_sizes_are_said_as_people_say_them(count, shown):
    assert binary_size_text(count) == shown


def test_a_table_cannot_command_the_terminal():
    assert "\x1b" not in output.table(("NAME",), [("\x1b[2J",)], right=())

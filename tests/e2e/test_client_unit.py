"""`print-unit`: a systemd user unit whose command watches two folders."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.client_processes import USAGE, Client
from tests.support.world import until


def unit(client: Client, *args: str | Path) -> str:
    return client.quick("print-unit", *args).ok().text


def command(text: str) -> list[str]:
    """Return the words of the unit's command, as systemd reads them."""
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def test_the_command_of_the_unit_watches_both_folders(client: Client) -> None:
    name = 'my $notes 100% "new" it\'s'
    client.write(f"{name}/first", b"first")
    words = command(unit(client, name, f"{client.room}/notes"))
    assert words[words.index("sync") :] == [
        *("sync", "--watch", "--two-way", "--"),
        *(str(client.folder / name), f"{client.room}/notes"),
    ]
    with subprocess.Popen(
        words, env=client.environment(), cwd="/", stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            path = f"{client.room}/notes/first"
            until(lambda: client.quick("cat", path).out == b"first", "the file is there")
        finally:
            process.terminate()
        assert process.stderr is not None
        assert process.stderr.read().startswith("watching ")
    assert process.returncode == 143


def test_the_given_options_are_in_the_command(client: Client) -> None:
    secret = client.write("secret", b"")
    words = command(
        unit(client, "--one-way", "--exclude", "*.tmp", "--otp-secret-file", secret, "a", "b")
    )
    home = words.index("--home")
    assert words[home : home + 6] == [
        *("--home", str(client.home), "--profile", "default", "--otp-secret-file", str(secret)),
    ]
    assert words[words.index("sync") :] == [
        *("sync", "--watch", "--exclude", "*.tmp", "--", str(client.folder / "a"), "b"),
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(client: Client, tmp_path: Path) -> None:
    text = unit(client, 'my $notes 100% "new" it\'s', "notes")
    (name,) = re.findall(r"systemd/user/(\S+\.service)", text)
    assert name == "fsclient-my-notes-100-new-it-s.service"
    path = tmp_path / name
    path.write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(path)],
        env={**client.environment(), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert name not in verified.stderr, verified.stderr


@pytest.mark.parametrize("args", [["alice:docs", "docs"], ["a\nb", "docs"], ["", "docs"]])
def test_what_no_unit_can_watch_is_refused(client: Client, args: list[str]) -> None:
    client.quick("print-unit", *args).fails(USAGE)

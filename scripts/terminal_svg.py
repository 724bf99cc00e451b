"""Draw docs/terminal.svg from a real session: a server, two people, files that they share.

The session runs on the loopback in a temporary folder, which is removed at the end. The picture
shows each command exactly as it ran and, below it, what it printed. One thing is replaced: the path
of the temporary folder is shown as /home. The host key, fingerprints and safety numbers are new in
each run. The server listens on the default port, or on another one if that is in use.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pyotp
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "terminal.svg"
PORT = 65432
MIN_COLUMNS, MAX_COLUMNS = 80, 100
TITLE = "alice, bob, and the server between them"
WHEN = 1_767_258_000  # 2026-01-01 09:00 UTC: the modification time of the files that are put
LINE = b"Third quarter: revenue 4.2 million, margin 31 percent.\n"

BACKGROUND, FOREGROUND = (22, 27, 34), (208, 215, 222)
THEME = TerminalTheme(BACKGROUND, FOREGROUND, [(72, 79, 88)] * 8)
PROMPT_STYLES = {"alice": "bold #7ee787", "bob": "bold #79c0ff", "server": "bold #ffa657"}
COMMAND_STYLE = "bold #ffffff"
COMMENT_STYLE = "italic #8b949e"

# rich's own template loads a font from the network; this one uses fonts that the reader has.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
}}
.{unique_id}-title {{ font: bold 17px system-ui, "DejaVu Sans", Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Session:
    """A temporary folder with a server and two people, and the lines of what they see."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.lines: list[Text] = []
        self.secrets: dict[str, str] = {}
        self.links: dict[str, str] = {}
        programs = work / "bin"
        programs.mkdir()
        for name in ("fsd", "fsadmin", "fsclient"):
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {name} "$@"\n')
            script.chmod(0o755)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FSD_", "FSCLIENT_"))}
        self.env = kept | {
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "TZ": "UTC",
            "COLUMNS": str(MAX_COLUMNS),
            "FSD_HOME": str(work / "server"),
            "FSCLIENT_PASSPHRASE": "an example passphrase",
        }

    def home(self, person: str) -> Path:
        """Return the folder that a person or the server works in."""
        return self.work / person

    def add(self, person: str) -> None:
        """Add an account, and keep its secret in the place of an authenticator app."""
        self.home(person).mkdir()
        done = subprocess.run(
            ["fsadmin", "add-user", person, "--json"],
            env=self.env, capture_output=True, text=True, check=True,
        )  # fmt: skip
        enrolment = json.loads(done.stdout)
        self.secrets[person] = enrolment["secret"]
        self.links[person] = enrolment["enroll_link"]

    def run(
        self,
        person: str,
        command: str,
        comment: str = "",
        *,
        asks: bool = False,
        shown: bool = True,
    ) -> None:
        """Run a shell command as a person, and record it together with its output.

        `asks` is for a command that asks for a one-time password.
        """
        if shown:
            line = Text()
            line.append(f"{person}$ ", PROMPT_STYLES[person])
            line.append(command, COMMAND_STYLE)
            if comment:
                line.append(f"   # {comment}", COMMENT_STYLE)
            self.lines.append(line)
        env = self.env | {"HOME": str(self.home(person)), "LINK": self.links.get(person, "")}
        if asks:
            status, printed = self._run_on_terminal(person, command, env)
        else:
            done = subprocess.run(
                ["sh", "-c", command], cwd=self.home(person), env=env, check=False, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            status, printed = done.returncode, done.stdout
        if status != 0:
            raise SystemExit(f"{command}: exit status {status}\n{printed}")
        if shown:
            text = printed.replace(str(self.work), "/home")
            self.lines += [Text(row.rstrip()) for row in text.splitlines()]

    def gap(self) -> None:
        """Leave an empty line."""
        self.lines.append(Text())

    def _run_on_terminal(self, person: str, command: str, env: dict[str, str]) -> tuple[int, str]:
        """Run a command on a pseudo-terminal, and type a code when it asks for one.

        Transfers do not run here: their progress bars would leave control sequences in the output.
        A real screen does not show the bars either when a command has ended.
        """
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (40, MAX_COLUMNS))
        process = subprocess.Popen(
            ["setsid", "--ctty", "sh", "-c", command],
            cwd=self.home(person), env=env, stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        printed = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux reports the end of a pseudo-terminal as an error
                break
            printed += piece
            if printed.endswith(b": "):
                os.write(ours, pyotp.TOTP(self.secrets[person]).now().encode() + b"\n")
        os.close(ours)
        return process.wait(), printed.decode().replace("\r\n", "\n")


def listen_address() -> str:
    """Return the default address, or one with any free port if another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return "127.0.0.1:0"
    return f"127.0.0.1:{PORT}"


def make_files(folder: Path) -> None:
    """Make the files that are put, the same ones in each run."""
    photos = folder / "Photos 2026"
    photos.mkdir()
    (folder / "report.pdf").write_bytes(LINE * 40_000)
    (photos / "harbour.jpg").write_bytes(bytes(range(256)) * 12_000)
    (photos / "team.jpg").write_bytes(bytes(reversed(range(256))) * 9_000)
    for path in [*photos.iterdir(), folder / "report.pdf", photos]:
        os.utime(path, (WHEN, WHEN))


def play(session: Session) -> None:
    """Do what the picture shows."""
    session.add("alice")
    session.add("bob")
    make_files(session.home("alice"))
    session.run("bob", 'fsclient enroll "$LINK"', asks=True, shown=False)

    session.run("alice", 'fsclient enroll "$LINK"', "the administrator's link", asks=True)
    session.gap()
    session.run("alice", 'fsclient put report.pdf "Photos 2026" projects/')
    session.run("alice", "fsclient ls -l projects")
    session.gap()
    session.run("alice", "fsclient share projects bob --write")
    session.run("alice", "fsclient verify bob", "compare the digits by phone")
    session.gap()
    session.run("bob", "fsclient get alice:projects/report.pdf")
    session.run("bob", "head -n 1 report.pdf")
    session.gap()
    session.run("server", "ls -m")
    session.run("server", "grep -rE 'report|Photos|revenue' . || echo 'no match'")


def draw(lines: list[Text], title: str) -> str:
    """Return the lines as a terminal window, in SVG."""
    columns = max(line.cell_len for line in lines)
    columns = min(MAX_COLUMNS, max(MIN_COLUMNS, columns))
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line, highlight=False)
    svg = console.export_svg(title=title, theme=THEME, code_format=SVG, unique_id="terminal")
    # White lines around the window would be invisible on a light page.
    return svg.replace("rgba(255,255,255,0.35)", "#6e7681")


def main() -> None:
    """Run the session and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    target = parser.parse_args().target
    with tempfile.TemporaryDirectory(prefix="fs-picture-") as name:
        session = Session(Path(name))
        server = subprocess.Popen(
            [sys.executable, "-m", "fsd", "--listen", listen_address()],
            env=session.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            ready = server.stdout.readline() if server.stdout else ""
            if not ready.startswith("fsd ready"):
                raise SystemExit("The server did not start.")
            play(session)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    target.write_text(draw(session.lines, TITLE), encoding="utf-8")
    print(f"{target}: {len(session.lines)} lines")


if __name__ == "__main__":
    main()

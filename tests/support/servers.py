"""Real programs for tests: a running `fsd`, people enrolled on it with `fsadmin`, their codes."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyotp

from fskit.clock import now_ms
from fsproto.link import Address, parse_address
from tests.support.programs import Process, start_program

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1:0"
LINK_START = "http://links.test"
"""The start of links in the settings of test servers; see `RunningServer.reachable`."""
WEB = ("--web-listen", LOOPBACK, "--set", f"web.url={LINK_START}")
"""Options of a server with a web listener."""
STOPS_WITHIN_S = 60

_READY = re.compile(r"fsd ready on (?P<address>\S+) host-key (?P<key>SHA256:[A-Za-z0-9+/]{43})\n")


class NotReadyError(Exception):
    """The server ended before it was ready."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a program's environment: ours on the path, and none of the caller's settings."""
    ours = ("FS", "COLUMNS", "LINES", "PYTHONIOENCODING")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), **(extra or {})}


def is_open_to_all(folder: Path) -> bool:
    """Return whether every user can reach a folder and read what is in it."""
    bits = stat.S_IROTH | stat.S_IXOTH
    ways_in = all(above.stat().st_mode & stat.S_IXOTH for above in folder.resolve().parents)
    return ways_in and folder.stat().st_mode & bits == bits


def run(
    program: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    given: str = "",
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run `fsd`, `fsadmin` or `fsclient` to its end, without a terminal."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", program, *args]
    with start_program(
        command,
        env=environment(env),
        cwd=ROOT,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        encoding="utf-8",
    ) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@dataclass
class RunningServer:
    """An `fsd` in its own process that accepts connections."""

    home: Path
    address: Address
    host_key: str
    process: Process
    database: str | None = None
    """The value of `--database`."""
    options: tuple[str, ...] = field(default=())
    """All other options of the server."""
    web: str = ""
    """The start of links as the web listener serves them; empty: there is none."""

    @classmethod
    def start(
        cls,
        home: Path,
        *options: str,
        listen: str = LOOPBACK,
        database: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> RunningServer:
        """Start a server on a free loopback port and wait for the line that says it is ready.

        Its log is written to `HOME.log` next to the data directory; `NotReadyError` contains it.
        """
        wanted = [] if database is None else ["--database", database]
        if database is not None and "--workers" not in options:
            wanted += ["--workers", "1"]  # with PostgreSQL, the default is several
        log = _log_of(home)
        with log.open("ab") as file:
            process = start_program(
                [
                    *(sys.executable, "-m", "fsd", "--home", str(home), "--listen", listen),
                    *(*wanted, *options),
                ],
                env=environment(env),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
            )
        if process.stdout is None:
            raise AssertionError("it was asked for")
        line = process.stdout.readline()
        match = _READY.fullmatch(line)
        if match is None:
            process.kill()
            process.communicate()
            raise NotReadyError(f"{line!r}, exit {process.returncode}: {log.read_text()}")
        address, web = parse_address(match["address"]), ""
        if "--web-listen" in options:
            web = f"http://{process.stdout.readline().removeprefix('fsd web on ').strip()}"
        return cls(home, address, match["key"], process, database, options, web)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def log(self) -> str:
        """The text that the server has written to stderr so far."""
        return _log_of(self.home).read_text()

    def reachable(self, url: str) -> str:
        """Return the URL of a link with the present address of the web listener."""
        return url.replace(LINK_START, self.web)

    def stop(self) -> int:
        """Ask the server to stop; return its exit status. Harmless if it has already ended."""
        self.process.terminate()
        return self._ended()

    def kill(self) -> int:
        """Kill the server at once, like a crash."""
        self.process.kill()
        return self._ended()

    def restart(self) -> RunningServer:
        """Restart it with the same data directory and port; it must have been stopped or killed."""
        return RunningServer.start(
            self.home, *self.options, listen=str(self.address), database=self.database
        )

    def admin(
        self, *args: str, given: str = "", within_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `fsadmin` on this server's data directory and database."""
        database = [] if self.database is None else ["--database", self.database]
        return run(
            "fsadmin", "--home", str(self.home), *database, *args, given=given, timeout=within_s
        )

    def _ended(self) -> int:
        try:
            self.process.communicate(timeout=STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode


def _log_of(home: Path) -> Path:
    return home.with_name(home.name + ".log")


def enrol_person(server: RunningServer, name: str, *options: str) -> dict[str, Any]:
    """Add a person with `fsadmin`; return `user`, `secret`, `otpauth_uri` and `enroll_link`.

    `options` are those of `fsadmin add-user`, such as `"--period", "15"`.
    """
    done = server.admin("add-user", name, *options, "--json")
    if done.returncode:
        raise AssertionError(f"fsadmin add-user: exit {done.returncode}: {done.stderr}")
    added: dict[str, Any] = json.loads(done.stdout)
    return added


def code(
    secret: str, offset: int = 0, *, digits: int = 6, period: int = 30, algorithm: str = "SHA1"
) -> str:
    """Return the code of the current step, or of the step `offset` steps later."""
    uri = f"otpauth://totp/x?secret={secret}&digits={digits}&period={period}&algorithm={algorithm}"
    totp = pyotp.parse_uri(uri)
    if not isinstance(totp, pyotp.TOTP):
        raise AssertionError("the URI says that it is one")
    return totp.generate_otp(int(time.time()) // period + offset)


class Clock:
    """The clock of a server inside the test's process; a test moves it forward instead of waiting.

    It is shared by the server and the authenticator apps of its people.
    """

    def __init__(self) -> None:
        """Show the time of this machine until the clock is moved."""
        self._ahead_ms = 0

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return now_ms() + self._ahead_ms

    def advance(self, seconds: float) -> None:
        """Move the clock forward, by at least a millisecond."""
        self._ahead_ms += int(seconds * 1000) + 1


class Authenticator:
    """A person's authenticator app, which never shows a consumed code.

    Steps only count upwards, so the app starts with the earliest step that the server still accepts
    and continues to the latest. Three logins are possible at once; the next ones depend on the
    clock.
    """

    SAFE_S = 6.0
    """The earliest step is skipped if it would expire this soon."""

    def __init__(self, person: Mapping[str, Any]) -> None:
        """Take the result of `enrol_person`."""
        totp = pyotp.parse_uri(person["otpauth_uri"])
        if not isinstance(totp, pyotp.TOTP):
            raise AssertionError("an authenticator app was promised time-based codes")
        self._totp = totp
        self._last = 0
        self.clock: Clock | None = None
        """The server's clock, if the test can move it; None: `fresh` waits."""

    @property
    def is_too_late(self) -> bool:
        """Return whether the last code that was shown may have become too old by now."""
        return int(self._now() // self._totp.interval) > self._last + 1

    def skip(self, other: Authenticator) -> None:
        """Skip the codes that another app of the same person has used."""
        self._last = max(self._last, other._last)

    def skip_past(self) -> None:
        """Skip the codes that were shown until now, which a restored server refuses."""
        self._last = max(self._last, int(self._now() // self._totp.interval))

    def _now(self) -> float:
        return self.clock.now_ms() / 1000 if self.clock else time.time()

    def present(self) -> str:
        """Return the code that is shown now, for a server that takes a used one again."""
        return self._totp.generate_otp(int(self._now() // self._totp.interval))

    def fresh(self) -> str:
        """Return an unused code; move the clock or wait if there is none."""
        period = self._totp.interval
        while True:
            now = self._now()
            step = int(now // period)
            left = (step + 1) * period - now
            earliest = step - 1 if left > self.SAFE_S else step
            wanted = max(earliest, self._last + 1)
            if wanted <= step + 1:
                self._last = wanted
                return self._totp.generate_otp(wanted)
            if self.clock:
                self.clock.advance(left)
            else:
                time.sleep(left)

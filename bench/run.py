"""`make bench`: our programs beside OpenSSH and rsync, in one run on one machine.

Nothing here says how fast is fast enough; it fails only where a program fails or gives back other
bytes than were put.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench import competitors, picture, report
from bench.competitors import FASTEST_CIPHERS, Competitor
from bench.measure import (
    Comparison,
    FailedError,
    Sample,
    forget_peak,
    memory_kib,
    rounds,
    run,
)
from bench.servers import BIN, HOST, ROOT, Fsd, MissingError, Sshd, fsd, sshd

RESULTS = Path(__file__).parent / "results"
MIB = 1 << 20
SMALL_FILE = 4096


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    kind: str
    rounds: int
    large_bytes: int
    folders: int
    files: int
    short_rounds: int
    """Of what takes less than a second."""
    sessions: int
    listing: int
    """Entries of the folder that is listed; 0: none."""


FULL = Plan("latest", 5, 1024 * MIB, 50, 5000, 15, 1000, 10_000)
QUICK = Plan("quick", 2, 128 * MIB, 5, 500, 3, 50, 0)


@dataclass
class Bench:
    """One run: what it works with and what it has found."""

    plan: Plan
    work: Path
    server: Fsd
    ssh: Sshd | None
    cipher: str = FASTEST_CIPHERS[0]
    """The faster one, once that is known."""
    limits: dict[str, float] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    memory: dict[str, float | None] = field(default_factory=dict)

    def all(self) -> None:
        """Measure everything."""
        self.primitives()
        self.large()
        self.small()
        self.latency()
        if self.plan.listing:
            self.listing()
        self.idle_sessions()

    def primitives(self) -> None:
        """What the parts can do by themselves."""
        say("primitives")
        found = self.probe("primitives", self.work)
        self.limits, self.versions = found["limits"], found["versions"]

    def large(self) -> None:
        """One large file, there and back; memory as well."""
        source = self.work / "large"
        with source.open("wb") as file:
            for _ in range(self.plan.large_bytes // MIB):
                file.write(os.urandom(MIB))
        everybody = [competitors.ours(self.work, self.server, source)]
        if self.ssh:
            everybody += [
                competitors.sftp(self.work, self.ssh, source, name) for name in FASTEST_CIPHERS
            ]
            everybody.append(competitors.scp(self.work, self.ssh, source, FASTEST_CIPHERS[0]))
        size = f"{self.plan.large_bytes // MIB} MiB"
        put = Comparison(
            "large_put", f"Put one file of {size}", "MB/s", self.plan.large_bytes / 1e6
        )
        get = Comparison(
            "large_get", f"Get one file of {size}", "MB/s", self.plan.large_bytes / 1e6
        )
        put.limit, get.limit = self.large_limits()
        idle = run(self.server.client("status"), env=self.server.env)
        before = memory_kib(self.server.pid)
        forget_peak(self.server.pid)
        self.there_and_back(everybody, source, put, get)
        after = memory_kib(self.server.pid, "VmHWM")
        self.memory |= {
            "client_idle_kib": idle.client_peak_kib,
            "client_put_peak_kib": max(s.client_peak_kib for s in put.row("fsclient").samples),
            "client_get_peak_kib": max(s.client_peak_kib for s in get.row("fsclient").samples),
            "server_idle_kib": before,
            "server_peak_kib": after,
        }
        source.unlink()
        if self.ssh and (anchor := put.anchor()):
            self.cipher = next(c for c in FASTEST_CIPHERS if c.startswith(anchor.name.split()[1]))

    def small(self) -> None:
        """A folder with many small files, there and back."""
        source = self.work / "small"
        each = self.plan.files // self.plan.folders
        for number in range(self.plan.folders):
            inside = source / f"folder {number}"
            inside.mkdir(parents=True)
            for name in range(each):
                (inside / f"file {name}.txt").write_bytes(os.urandom(SMALL_FILE))
        everybody = [competitors.ours(self.work / "s", self.server, source)]
        if self.ssh:
            everybody.append(competitors.sftp(self.work / "s", self.ssh, source, self.cipher))
            if shutil.which("rsync"):
                everybody.append(competitors.rsync(self.work / "s", self.ssh, source, self.cipher))
            else:
                say("SKIPPED: rsync, which is not installed")
        title = f"{self.plan.files:,} files of 4 KiB in {self.plan.folders} folders"
        put = Comparison("small_put", f"Put {title}", "files/s", self.plan.files)
        get = Comparison("small_get", f"Get {title}", "files/s", self.plan.files)
        put.limit, get.limit = self.small_limits()
        self.there_and_back(everybody, source, put, get)
        shutil.rmtree(source)

    def latency(self) -> None:
        """How long it takes until something happens at all."""
        whole = Comparison("latency", "A command that asks the server one thing", "ms", None)
        inside = Comparison("login", "Connect and log in, inside one process", "ms", None)
        start = Comparison("version", "Start and say the version", "ms", None)
        whole.ours, inside.ours, start.ours = "fsclient status", "logged in", "fsclient --version"
        inside.also_ours = "tree verified"
        server, python = self.server, Comparison("python", "", "ms", None)

        def ours() -> None:
            whole.row(whole.ours).samples.append(run(server.client("status"), env=server.env))

        def logins() -> None:
            found = self.probe("logins", 3)
            for name, key in ((inside.ours, "logged_in_s"), (inside.also_ours, "tree_verified_s")):
                inside.row(name).samples.append(Sample(median(found[key])))

        def theirs() -> None:
            if self.ssh:
                sample = run(["ssh", "-F", str(self.ssh.config), HOST, "true"])
                whole.row("ssh host true").samples.append(sample)
                inside.row("ssh host true").samples.append(sample)

        def version() -> None:
            command = [str(BIN / "fsclient"), "--version"]
            start.row(start.ours).samples.append(run(command, env=server.env))

        def bare() -> None:
            python.row("python").samples.append(run([sys.executable, "-c", "pass"]))

        turns = [ours, theirs, logins, version, bare]
        rounds(self.plan.short_rounds, turns, telling("latency"))
        order = [inside.ours, inside.also_ours, "ssh host true"]
        inside.rows.sort(key=lambda row: order.index(row.name))
        whole.rows.sort(key=lambda row: row.name != whole.ours)
        whole.limit = start.limit = python.row("python").wall_s * 1000
        inside.limit = 1000 / self.limits["rsa_3072_decrypt_s"]
        self.comparisons += [whole, inside, start]

    def listing(self) -> None:
        """A folder with very many entries, listed."""
        source = self.work / "listed"
        source.mkdir()
        for number in range(self.plan.listing):
            (source / f"entry {number}").write_bytes(b"x")
        mine, server = competitors.ours(self.work / "l", self.server, source), self.server
        run(mine.put, env=server.env)
        listed = Comparison(
            "listing", f"List a folder with {self.plan.listing:,} entries", "ms", None
        )
        command = server.client("ls", competitors.REMOTE)

        def ours() -> None:
            listed.row("fsclient").samples.append(run(command, env=server.env, server=server.pid))

        turns: list[Callable[[], None]] = [ours]
        if self.ssh:
            who = competitors.sftp(self.work / "l", self.ssh, source, self.cipher)
            line = competitors.batch(who, self.ssh, "ls", f"ls -1 {source}", self.cipher)
            turns.append(lambda: listed.row(who.name).samples.append(run(line, server=who.server)))
        rounds(self.plan.rounds, turns, telling("listing"))
        mine.tidy()
        self.comparisons.append(listed)

    def idle_sessions(self) -> None:
        """What a server keeps in memory for people who are logged in and do nothing."""
        say(f"{self.plan.sessions} idle sessions")
        self.server.restart()
        probe = subprocess.Popen(
            [sys.executable, "-m", "bench.probes", "sessions", str(self.plan.sessions)],
            env=self.server.env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            if probe.stdin is None or probe.stdout is None or not probe.stdout.readline():
                raise FailedError("the first sessions could not be opened")
            before = memory_kib(self.server.pid)
            probe.stdin.write("\n")
            probe.stdin.flush()
            line = probe.stdout.readline()
            if not line:
                raise FailedError("the sessions could not be opened")
            after = memory_kib(self.server.pid)
            probe.stdin.close()
            probe.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                probe.kill()
            probe.wait()
        count = json.loads(line)["held"]
        grown = None if before is None or after is None else after - before
        self.memory |= {
            "sessions": count,
            "server_grown_kib": grown,
            "kib_a_session": None if grown is None else round(grown / count, 1),
        }

    # --- how

    def there_and_back(
        self, everybody: list[Competitor], source: Path, put: Comparison, get: Comparison
    ) -> None:
        """Let everybody put and get in turn, and compare what came back the first time."""

        def turn(who: Competitor) -> None:
            for command, found in ((who.put, put), (who.get, get)):
                sample = run(command, env=who.env, server=who.server)
                found.row(who.name).samples.append(sample)
            if len(get.row(who.name).samples) == 1 and not same(source, who.back):
                raise FailedError(f"{who.name}: what came back differs")
            who.tidy()

        for who in everybody:  # so that they are listed in this order
            put.row(who.name)
            get.row(who.name)
        self.comparisons += [put, get]
        turns = [lambda who=who: turn(who) for who in everybody]
        rounds(self.plan.rounds, turns, telling(f"{put.title}, and get"))

    def probe(self, *words: object) -> Any:  # noqa: ANN401 - JSON
        """Run a probe in a process of its own; return what it found."""
        command = [sys.executable, "-m", "bench.probes", *(str(word) for word in words)]
        done = subprocess.run(
            command, env=self.server.env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FailedError(f"probe {words[0]}: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def large_limits(self) -> tuple[float, float]:
        """MB/s if all cores did nothing but what every byte needs, as fast as it goes alone.

        Put: read, seal twice, hash; through the loopback; open once, hash, write. Get: read, seal
        once; through the loopback; open twice, hash, write.
        """
        one, cores = self.limits, cores_here()
        moved = 1 / one["file_read_mb_s"] + 1 / one["file_write_mb_s"] + 2 / one["loopback_mb_s"]
        both = moved + 3 / one["aes_256_gcm_mb_s"]
        return (
            cores / (both + 2 / one["sha_256_mb_s"]),
            cores / (both + 1 / one["sha_256_mb_s"]),
        )

    def small_limits(self) -> tuple[float, float]:
        """Files/s if all cores only signed and checked each once; or checked and wrote it."""
        one, cores = self.limits, cores_here()
        check = 1 / one["ed25519_verify_s"]
        return (
            cores / (1 / one["ed25519_sign_s"] + check),
            cores / (check + 1 / one["small_file_create_s"]),
        )


def same(one: Path, other: Path) -> bool:
    """Tell whether two files, or all files of two folders, have the same bytes."""
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    theirs = sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return files == theirs and all(
        filecmp.cmp(one / path, other / path, shallow=False) for path in files
    )


def cores_here() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(work: Path) -> dict[str, Any]:
    """What kind of machine this is; no names, no paths."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": cores_here(),
        "system": f"{platform.system()} {platform.machine()}",
        "memory_file_system": work.is_relative_to("/dev/shm"),  # noqa: S108
    }


def programs() -> dict[str, str | None]:
    """Which OpenSSH, rsync and commit these are."""

    def first_line(*command: str) -> str | None:
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        except OSError:
            return None
        lines = (done.stdout or done.stderr).splitlines()
        return lines[0].strip() if lines and not done.returncode else None

    return {
        "openssh": first_line("ssh", "-V"),
        "rsync": first_line("rsync", "--version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
    }


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"… {text}", file=sys.stderr, flush=True)


def telling(title: str) -> Callable[[int], None]:
    """Return what tells that a round begins."""
    return lambda number: say(f"{title}: round {number + 1}")


def measure(plan: Plan) -> dict[str, Any]:
    """Do it all in a temporary folder; return what is written down."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    load = [os.getloadavg()[0]]
    with (
        tempfile.TemporaryDirectory(prefix="fs-bench-", dir=base) as name,
        contextlib.ExitStack() as s,
    ):
        work = Path(name)
        for inside in ("s", "l"):
            (work / inside).mkdir()
        ssh = skipped = None
        try:
            ssh = s.enter_context(sshd(work))
        except MissingError as missing:
            skipped = str(missing)
            say(f"SKIPPED: everything about OpenSSH and rsync, because {skipped}")
        bench = Bench(plan, work, s.enter_context(fsd(work)), ssh)
        bench.all()
        load.append(os.getloadavg()[0])
        return {
            "kind": plan.kind,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": machine(work),
            "versions": bench.versions | programs(),
            "rounds": plan.rounds,
            "load_before_and_after": [round(value, 1) for value in load],
            "skipped": None if skipped is None else "OpenSSH and rsync",
            "limits": {key: round(value, 1) for key, value in bench.limits.items()},
            "comparisons": [comparison.as_json() for comparison in bench.comparisons],
            "memory": bench.memory,
        }


def stop(number: int, _frame: object) -> None:
    """End as Ctrl-C does, so that everything is stopped and removed."""
    raise SystemExit(128 + number)


def main() -> int:
    """Measure, write down, draw, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: under a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of what takes long")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=max(1, options.rounds or plan.rounds))
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), stop)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a thousand sessions at once
    began = time.monotonic()
    try:
        found = measure(plan)
    except FailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; everything was stopped and removed", file=sys.stderr)
        return 130
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{plan.kind}.json").write_text(text, encoding="utf-8")
    (RESULTS / f"{plan.kind}.svg").write_text(picture.draw(found), encoding="utf-8")
    print(report.table(found))
    print(f"\n{time.monotonic() - began:.0f} s; written to bench/results/{plan.kind}.json and .svg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

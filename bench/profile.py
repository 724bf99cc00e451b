"""Profile of the programs with py-spy: samples by category of work.

`python -m bench.profile` needs `py-spy` on the PATH (pip install py-spy), and root rights on some
systems. The innermost frame with a known category decides; waiting threads are left out.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import competitors
from bench.competitors import Competitor
from bench.machine import MEMORY, load
from bench.measure import FailedError, run
from bench.plan import MIB, SMALL_FILE
from bench.servers import BIN, fsd

RATE = 200
"""Samples a second."""
LARGE = 512 * MIB
FOLDERS, FILES = 30, 3000
WORTH_TELLING = 0.02
WAITING = re.compile(
    r"^(_worker \(concurrent|Runner\.run \(asyncio|Condition\.wait \(|Thread\._wait_for|select"
    r"|Transport\._becomes \(fsd|_Buffers\.take \(fsd|_Taking\._take_all \(fsd)"
)
"""Innermost frames of threads that wait for work, even if the system reports them as running.
uvloop's native code cannot be distinguished from waiting in it."""
WHAT = (
    ("imports", r"importlib\._bootstrap|<frozen"),
    ("AES-GCM", r"^Aead\.\w+ \(fsproto/crypto"),
    ("SHA-256", r"^sha256 \(fsproto/crypto"),
    ("HMAC and HKDF", r"^(hmac_sha256|hkdf\w*) \(fsproto/crypto"),
    ("Ed25519", r"^(SigningKey\.\w+|verify) \(fsproto/crypto"),
    ("other cryptography and keys", r"\(fsproto/(crypto|keys)"),
    ("database", r"\((sqlalchemy|sqlite3|fsd/store)"),
    (
        "local files",
        r"\((fsclient/transfer/(local|down/partial)|fsd/blobs|pathlib|shutil|tempfile)",
    ),
    ("local files", r"^BlobDownload\.segment_into \(fsd/net"),
    ("socket", r"\((fsclient/connection|fsproto/wire/frames|fsd/net/transport|socket)"),
    ("messages", r"\(fsproto/(packing|messages|wire)"),
    (
        "manifests and trees",
        r"\((fsproto/(sealed|proofs|signed)|fsclient/(tree|trust)|fsd/services)",
    ),
    (
        "thread hand-off",
        r"\((concurrent|threading|queue|asyncio|fsclient/transfer/workers)",
    ),
    ("requests", r"\(fsd/net"),
)
"""Categories by function and file; the first match counts."""
HERE = re.compile(r"\(\S*/(?=fs(?:proto|client|d)/)|\(\S*/site-packages/|\(\S*/lib/python[\d.]+/")


def shares(stacks: str) -> list[tuple[str, float, float]]:
    """Return category, seconds and share of each category, from the raw stacks of py-spy."""
    found: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [HERE.sub("(", frame) for frame in stack.split(";")]
        if not WAITING.search(frames[-1]):
            found[_doing(frames)] += int(count)
    total = sum(found.values()) or 1
    return [(name, count / RATE, count / total) for name, count in found.most_common()]


def _doing(frames: Sequence[str]) -> str:
    for frame in reversed(frames):
        for name, pattern in WHAT:
            if re.search(pattern, frame):
                return name
    return "other"


def recorded(
    command: Sequence[str], env: Mapping[str, str] | None, server: int, folder: Path
) -> tuple[str, str]:
    """Run a command under py-spy, and record the server too; return the stacks of both ends."""
    mine, theirs = folder / "client", folder / "server"
    spy = ["py-spy", "record", "--rate", str(RATE), "--format", "raw"]
    watching = subprocess.Popen(
        [*spy, "--output", str(theirs), "--pid", str(server)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        whole = [*spy, "--output", str(mine), "--", str(BIN / "python"), *command]
        run(whole, env=env)
    finally:
        watching.send_signal(signal.SIGINT)  # py-spy writes its samples and ends
        watching.wait()
    return mine.read_text(encoding="utf-8"), theirs.read_text(encoding="utf-8")


def tell(title: str, stacks: str) -> None:
    """Print the categories, largest first."""
    found = shares(stacks)
    seconds = sum(second for _, second, _ in found)
    print(f"  {title}, {seconds:.1f} s of samples")
    for name, second, share in found:
        if share >= WORTH_TELLING:
            print(f"    {share:4.0%}  {second:5.2f} s  {name}")


def _sources(work: Path) -> dict[str, Path]:
    large, small = work / "large.bin", work / "small"
    with large.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    for number in range(FOLDERS):
        inside = small / f"folder {number}"
        inside.mkdir(parents=True)
        for name in range(FILES // FOLDERS):
            (inside / f"file {name}.txt").write_bytes(os.urandom(SMALL_FILE))
    return {
        f"one file of {LARGE // MIB} MiB": large,
        f"{FILES:,} files of 4 KiB in {FOLDERS} folders": small,
    }


def main() -> int:
    """Put and get a large file and many small ones, and print the profile."""
    if shutil.which("py-spy") is None:
        print("py-spy is not installed: pip install py-spy", file=sys.stderr)
        return 1
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fs-profile-", dir=base) as name:
        work = Path(name)
        with fsd(work) as server:
            print(f"Load {load()} before.")
            for number, (title, source) in enumerate(_sources(work).items()):
                who: Competitor = competitors.ours(work / str(number), server, source)
                for way, command in (("put", who.put), ("get", who.get)):
                    print(f"\n{way}, {title}")
                    try:
                        mine, theirs = recorded(command, who.env, server.pid, work)
                    except FailedError as error:
                        print(f"bench.profile: {error}", file=sys.stderr)
                        return 1
                    tell("client", mine)
                    tell("server", theirs)
                who.tidy()
            print(f"\nLoad {load()} after.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

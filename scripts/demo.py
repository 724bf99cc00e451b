"""A short demo: a server, a user, and a folder that is uploaded sealed and downloaded again.

Everything happens in a temporary folder on this machine and is removed at the end.
"""

from __future__ import annotations

import filecmp
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyotp

BIN = Path(sys.executable).parent
PHRASE = "The board meets on the 14th of May in Zürich."
BIG = 50_000_000
COLUMN = 44
DONE, REFUSED, GONE = 0, 4, 5


def title(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def shown(*words: object) -> list[str]:
    """Print a command as a user would type it, and return the arguments to run."""
    texts = [str(word) for word in words]
    print("  $ " + shlex.join(texts), flush=True)
    return [str(BIN / texts[0]), *texts[1:]]


def run(*words: object, env: dict[str, str]) -> None:
    """Run a command and print its output below it."""
    done = subprocess.run(
        shown(*words), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        print("    " + line)
    if done.returncode != 0:
        raise SystemExit(f"demo: that ended with exit status {done.returncode}")


def make_folder(folder: Path) -> None:
    """Create a sample folder."""
    (folder / "Fotos & Pläne" / "été 2026").mkdir(parents=True)
    (folder / "minutes.txt").write_text(PHRASE + "\n", encoding="utf-8")
    (folder / "nothing yet").touch()
    (folder / "Fotos & Pläne" / "Grundriß.svg").write_text("<svg/>\n", encoding="utf-8")
    (folder / "Fotos & Pläne" / "été 2026" / "計画.md").write_text("# 計画\n", encoding="utf-8")
    tool = folder / "backup.sh"
    tool.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    tool.chmod(0o755)
    with (folder / "recording.bin").open("wb") as file:
        for _ in range(BIG // 1_000_000):
            file.write(os.urandom(1_000_000))


def compare(ours: Path, theirs: Path) -> int:
    """Count the files, having compared each byte for byte; ends the demo if one differs."""
    files = [path.relative_to(ours) for path in sorted(ours.rglob("*")) if path.is_file()]
    wrong = [f for f in files if not filecmp.cmp(ours / f, theirs / f, shallow=False)]
    if wrong or len(files) != sum(path.is_file() for path in theirs.rglob("*")):
        raise SystemExit(f"demo: what came back differs: {wrong}")
    return len(files)


def look_into(home: Path, names: list[str]) -> None:
    """List the server's files, and search them for plaintext that must not be there."""
    everything = b""
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.name != "fsd.lock":
            data = path.read_bytes()
            everything += data
            where = str(path.relative_to(home))
            cut = where if len(where) < COLUMN else where[: COLUMN - 4] + "…"
            print(f"    {len(data):>11,} bytes  {cut:{COLUMN}} {data[:12].hex(' ')}")
    for secret in [PHRASE, *names]:
        found = "FOUND" if secret.encode() in everything else "not there"
        print(f"    looking for {secret!r}: {found}")
        if found == "FOUND":
            raise SystemExit("demo: the server can read that")


def add_user(
    home: Path, name: str, env: dict[str, str], work: Path, host: str = ""
) -> dict[str, str]:
    """Add a user, and act as the user's authenticator app."""
    address = ["--host", host] if host else []
    done = subprocess.run(
        shown("fsadmin", "--home", home, "add-user", name, *address, "--json"),
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    enrolment: dict[str, str] = json.loads(done.stdout)
    print(f"    link    {enrolment['enroll_link']}")
    print(f"    secret  (for {name}'s authenticator app; without --json it comes with a QR code)")
    secret = work / f"{name}.otp"
    secret.write_text(enrolment["secret"], encoding="ascii")
    env["FSCLIENT_OTP_SECRET_FILE"] = str(secret)
    return enrolment


def share(home: Path, alices: dict[str, str], work: Path, folder: Path, host: str) -> None:
    """Share the folder with a second user, then revoke the share."""
    bobs = alices | {"FSCLIENT_HOME": str(work / "bob")}
    title("Bob is enrolled too, and Alice shares the folder with him")
    run("fsclient", "enroll", add_user(home, "bob", bobs, work, host)["enroll_link"],
        "--no-passphrase", env=bobs)  # fmt: skip
    run("fsclient", "share", "Vorstand", "bob", env=alices)
    run("fsclient", "verify", "bob", env=alices)

    title("On Bob's machine it is 'alice:Vorstand'; he sees the same words for Alice")
    run("fsclient", "verify", "alice", env=bobs)
    run("fsclient", "get", "alice:Vorstand", work / "bobs copy", env=bobs)
    print(f"    {compare(folder, work / 'bobs copy')} files, every byte the same.")

    title("She takes it back: the server refuses him, and the folder has a new key")
    run("fsclient", "unshare", "Vorstand", "bob", env=alices)
    done = subprocess.run(
        shown("fsclient", "ls", "alice:Vorstand"), env=bobs, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        print("    " + line)
    if done.returncode != GONE:
        raise SystemExit(f"demo: expected {GONE}, but got {done.returncode}")


def tell(
    home: Path,
    env: dict[str, str],
    work: Path,
    host: str = "",
    data: Sequence[Path] = (),
) -> None:
    """Run all steps of the demo.

    `host` is the address for clients, if it is not that of the server; `data` are the folders with
    the server's data, if it is not in its data directory alone.
    """
    title("The administrator enrols alice: one command gives a secret and a link")
    enrolment = add_user(home, "alice", env, work, host)

    title("Alice makes her keys and logs in: the server's key is checked, a code is used up")
    run("fsclient", "enroll", enrolment["enroll_link"], "--no-passphrase", env=env)

    title("She puts a folder: sealed on her machine, hashed there and again by the server")
    folder = work / "Vorstand"
    folder.mkdir()
    make_folder(folder)
    run("fsclient", "put", folder, env=env)
    run("fsclient", "ls", "-l", "Vorstand", "Vorstand/Fotos & Pläne", env=env)

    title("What the server has of it")
    for where in data or (home,):
        look_into(where, ["Vorstand", "minutes.txt", "Grundriß"])

    title("She gets it back, and every byte is compared")
    back = work / "back"
    run("fsclient", "get", "Vorstand", back, env=env)
    count = compare(folder, back)
    print(f"    {count} files, every byte the same.")

    share(home, env, work, folder, host)

    title("A code works once; a second try with the same one is refused")
    # The enrolment consumed the current code, so use the next one early.
    code = pyotp.TOTP(enrolment["secret"]).at(int(time.time()) + 30)
    subprocess.run([str(BIN / "fsclient"), "logout"], env=env, check=True, capture_output=True)
    plain = {key: value for key, value in env.items() if key != "FSCLIENT_OTP_SECRET_FILE"}
    statuses = []
    for _ in range(2):
        done = subprocess.run(
            shown("fsclient", "login", "--otp", code), env=plain, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        statuses.append(done.returncode)
        for line in done.stdout.splitlines():
            print("    " + line)
    if statuses != [DONE, REFUSED]:
        raise SystemExit(f"demo: expected one login and one refusal, but got {statuses}")


def main() -> None:
    """Run the demo and clean up."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FSD_", "FSCLIENT_"))}
    env |= {"PYTHONUTF8": "1", "PATH": f"{BIN}{os.pathsep}{env.get('PATH', '')}"}
    with tempfile.TemporaryDirectory(prefix="fs-demo-") as name:
        work = Path(name)
        home = work / "server"
        env["FSCLIENT_HOME"] = str(work / "alice")
        title("A server starts: it makes its keys and its database by itself")
        with (work / "server.log").open("wb") as log:
            server = subprocess.Popen(
                shown("fsd", "--home", home, "--listen", "127.0.0.1:0"),
                env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        try:
            ready = server.stdout.readline() if server.stdout else ""
            if not ready.startswith("fsd ready"):
                raise SystemExit(
                    "demo: the server did not start:\n" + (work / "server.log").read_text()
                )
            print("    " + ready.strip())
            tell(home, env, work)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
        title("The server was stopped and everything above was removed. That was all of it.")


if __name__ == "__main__":
    main()

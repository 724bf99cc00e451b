"""What is done in a process of its own: primitives, logins, idle sessions, made-up bytes.

`python -m bench.probes primitives FOLDER`, `logins COUNT`, `sessions COUNT`: what was found goes
to standard output as JSON; FSCLIENT_HOME says who logs in. `make BYTES` writes them there,
`check BYTES` compares what comes from standard input with them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import ssl
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.plan import MIB


def facts() -> dict[str, Any]:
    """What this is measured with; nothing that names the machine."""
    import importlib.util

    import cryptography
    from cryptography.hazmat.backends.openssl import backend

    import fsproto

    return {
        "fs": fsproto.__version__,
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
        "openssl_of_cryptography": backend.openssl_version_text(),
        "openssl_of_python": ssl.OPENSSL_VERSION,
        "uvloop": importlib.util.find_spec("uvloop") is not None,
    }


class _Person:
    """Who logs in, with the ticket of the session that runs."""

    def __init__(self) -> None:
        from fsclient.profile import Profile
        from fsproto.keys.key_file import open_identity

        self.profile = Profile(Path(os.environ["FSCLIENT_HOME"]), "default")
        self.link = self.profile.facts().link
        self.identity = open_identity(self.profile.keyfile(), None)
        self.ticket = self.profile.ticket()

    def log_in(self) -> Any:  # noqa: ANN401 - a connection; its type is imported late
        """Connect, exchange keys, log in with the ticket; return the connection."""
        from fsclient.connection.connection import ServerConnection
        from fsproto import labels
        from fsproto.messages.account import Login, Welcome

        connection = ServerConnection(self.link)
        user = self.identity.user
        signature = self.identity.signing.sign(
            labels.SIGN_LOGIN, connection.channel_id, user.encode()
        )
        connection.call(Login(user, signature, None, self.ticket), Welcome)
        return connection


def logins(count: int) -> dict[str, list[float]]:
    """Time from nothing to logged in, and to a tree that was verified as every command does."""
    from fsclient.session.login import SessionOpener
    from fsclient.session.otp import CodeSource
    from fsclient.session.passphrase import Passphrase
    from fsclient.ui import Ui

    person = _Person()
    keeper = SessionOpener(
        person.profile, Ui(), CodeSource(None, None), Passphrase(None, none=True)
    )
    keeper.resume().close()
    logged_in, verified = [], []
    for _ in range(count):
        began = time.perf_counter()
        connection = person.log_in()
        logged_in.append(time.perf_counter() - began)
        connection.close()
        began = time.perf_counter()
        session = keeper.resume()
        verified.append(time.perf_counter() - began)
        session.close()
    return {"logged_in_s": logged_in, "tree_verified_s": verified}


def sessions(count: int) -> dict[str, float]:
    """Hold idle sessions until a line, or the end, comes from standard input."""
    person = _Person()
    for connection in [person.log_in() for _ in range(40)]:
        connection.close()  # what a server takes once is taken now
    time.sleep(1)
    print(json.dumps({"warm": True}), flush=True)
    sys.stdin.readline()
    times, held = [], []
    for _ in range(count):
        began = time.perf_counter()
        held.append(person.log_in())
        times.append(time.perf_counter() - began)
    print(json.dumps({"held": len(held), "login_s": statistics.median(times)}), flush=True)
    sys.stdin.readline()
    return {}


def _made_up(size: int) -> Iterator[bytearray]:
    """Give `size` bytes, a MiB at a time; no two alike, and hardly any work."""
    block = bytearray(hashlib.shake_256(b"made up").digest(MIB))
    for index in range(0, size, MIB):
        block[:8] = index.to_bytes(8)
        yield block[: size - index]


def make(size: int) -> None:
    """Write made-up bytes to standard output."""
    for block in _made_up(size):
        sys.stdout.buffer.write(block)


def check(size: int) -> None:
    """Read standard input to its end; fail unless it is exactly what `make` writes."""
    for block in _made_up(size):
        if sys.stdin.buffer.read(len(block)) != block:
            raise SystemExit("what came back differs")
    if sys.stdin.buffer.read(1):
        raise SystemExit("more came back than was sent")


def main() -> None:
    """Do what was asked."""
    match sys.argv[1:]:
        case ["primitives", folder]:
            from bench.primitives import primitives

            print(json.dumps({"versions": facts(), "limits": primitives(Path(folder))}))
        case ["logins", count]:
            print(json.dumps(logins(int(count))))
        case ["sessions", count]:
            sessions(int(count))
        case ["make", size]:
            make(int(size))
        case ["check", size]:
            check(int(size))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()

"""What is measured inside a process of its own: primitives, logins, idle sessions.

`python -m bench.probes primitives FOLDER | logins COUNT | sessions COUNT`; results go to standard
output as JSON. Apart from `primitives`, FSCLIENT_HOME says who logs in.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

MIB = 1 << 20
BLOCK = 256 * MIB
LEAST_S = 0.2
"""How long each primitive is tried at least."""
MANY_FILES = 1000
SMALL_FILE = 4096


def rate(work: Callable[[], object], amount: float) -> float:
    """Return how much of `amount` is done in a second; the best of several tries."""
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < LEAST_S:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return amount / best


def primitives(folder: Path) -> dict[str, float]:
    """Measure what everything else is made of: MB/s, or times a second."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256

    plain, sealed = bytearray(MIB), bytearray(MIB + 16)
    gcm, nonce, megabytes = AESGCM(bytes(32)), bytes(12), MIB / 1e6
    signing = ed25519.Ed25519PrivateKey.generate()
    public, signature = signing.public_key(), signing.sign(bytes(500))
    key = rsa.generate_private_key(65537, 3072)
    padding = OAEP(MGF1(SHA256()), SHA256(), None)
    wrapped = key.public_key().encrypt(bytes(32), padding)
    # Far larger than any cache, as a large file is.
    far, away = memoryview(bytearray(64 * MIB)), memoryview(bytearray(64 * MIB))

    def copy() -> None:
        away[:] = far

    write, read = _file_rates(folder)
    return {
        "aes_256_gcm_mb_s": rate(lambda: gcm.encrypt_into(nonce, plain, None, sealed), megabytes),
        "sha_256_mb_s": rate(lambda: hashlib.sha256(plain).digest(), megabytes),
        "memcpy_mb_s": rate(copy, 64 * megabytes),
        "loopback_mb_s": _loopback(),
        "file_write_mb_s": write,
        "file_read_mb_s": read,
        "ed25519_sign_s": rate(lambda: signing.sign(bytes(500)), 1),
        "ed25519_verify_s": rate(lambda: public.verify(signature, bytes(500)), 1),
        "rsa_3072_decrypt_s": rate(lambda: key.decrypt(wrapped, padding), 1),
        "small_file_create_s": _small_files(folder),
    }


def _file_rates(folder: Path) -> tuple[float, float]:
    file, room = folder / "probe", bytearray(MIB)

    def write() -> None:
        file.unlink(missing_ok=True)
        with file.open("wb", buffering=0) as out:
            for _ in range(BLOCK // MIB):
                out.write(room)

    def read() -> None:
        with file.open("rb", buffering=0) as source:
            while source.readinto(room):
                pass

    rates = rate(write, BLOCK / 1e6), rate(read, BLOCK / 1e6)
    file.unlink()
    return rates


def _small_files(folder: Path) -> float:
    data, best = bytes(SMALL_FILE), 0.0
    for _ in range(3):
        inside = folder / "many"
        inside.mkdir()
        began = time.perf_counter()
        for number in range(MANY_FILES):
            with (inside / str(number)).open("xb") as file:
                file.write(data)
        best = max(best, MANY_FILES / (time.perf_counter() - began))
        for path in inside.iterdir():
            path.unlink()
        inside.rmdir()
    return best


def _loopback() -> float:
    """Send through a loopback socket to another process, as client and server do."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        child = get_context("fork").Process(target=_sink, args=(listening,))
        child.start()
        room = bytearray(MIB)

        def send() -> None:
            with socket.create_connection(listening.getsockname()) as sock:
                for _ in range(BLOCK // MIB):
                    sock.sendall(room)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)

        best = rate(send, BLOCK / 1e6)
        child.terminate()
        child.join()
    return best


def _sink(listening: socket.socket) -> None:
    room = bytearray(MIB)
    while True:
        sock, _ = listening.accept()
        while sock.recv_into(room):
            pass
        sock.close()


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
        from fsproto.keys.keyfile import open_identity

        self.profile = Profile(Path(os.environ["FSCLIENT_HOME"]), "default")
        self.link = self.profile.facts().link
        self.identity = open_identity(self.profile.keyfile(), None)
        self.ticket = self.profile.ticket()

    def log_in(self) -> Any:  # noqa: ANN401 - a connection; its type is imported late
        """Connect, exchange keys, log in with the ticket; return the connection."""
        from fsclient.connection import ServerConnection
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
    from fsclient.otp import CodeSource
    from fsclient.session import Keeper, Passphrase
    from fsclient.ui import Ui

    person = _Person()
    keeper = Keeper(person.profile, Ui(), CodeSource(None, None), Passphrase(None, none=True))
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


def main() -> None:
    """Do what was asked."""
    match sys.argv[1:]:
        case ["primitives", folder]:
            print(json.dumps({"versions": facts(), "limits": primitives(Path(folder))}))
        case ["logins", count]:
            print(json.dumps(logins(int(count))))
        case ["sessions", count]:
            sessions(int(count))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()

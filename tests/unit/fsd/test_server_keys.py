"""Keys of the server: sealed in the database, copied into each data directory."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from fsd import factory
from fsd.blobs.local import LocalBlobs
from fsd.cluster import alone
from fsd.cluster.alone import maintenance
from fsd.cluster.export import MAGIC, check_contents, import_node, open_node, seal_node, server_name
from fsd.cluster.registry import Registry
from fsd.cluster.rotation import rotate_host_key
from fsd.home.home import HOOK_KEY, HOST_KEY, HOST_MOVES, LOG_KEY, Home, HomeBusyError, HomeError
from fsd.home.host_keys import HostKeys
from fsd.master_key import open_vault, rotate
from fsd.store.cluster_models import ClusterNode, ServerKey
from fsd.store.engine import Database
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos.cluster import DEAD_S
from fskit.clock import now_ms
from fsproto import crypto
from fsproto.errors import (
    BadSettingError,
    ConflictError,
    IntegrityError,
    WrongPassphraseError,
)
from fsproto.host_key_moves import answer, follow, question
from tests.support import light_argon2
from tests.support.fixed_keys import TIME_MS, rsa_key
from tests.support.world import until

pytestmark = pytest.mark.both_databases

PHRASE = "a passphrase of tests"


@pytest.fixture(autouse=True)
def _keys_cost_little(pooled_rsa_keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    light_argon2.use(monkeypatch.setattr)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def database(home: Home, url_at_head: str) -> Iterator[Database]:
    with closing(factory.open_server(home, url_at_head)) as opened:
        yield opened


@pytest.fixture
def renew(database: Database) -> Callable[[Home], int]:
    return lambda home: factory.server_keys(home, database).renew()


def imported(home: Home, path: Path, database: Database) -> Home:
    """Return a new data directory that was made by an export and an import."""
    url = database.url.render_as_string(hide_password=True)
    sealed = seal_node(home, server_name(home), url, PHRASE, os.urandom)
    other = Home(path)
    assert import_node(other, open_node(sealed, PHRASE))
    return other


def shared(home: Home) -> dict[str, bytes]:
    there = [
        name for name in (LOG_KEY, HOST_KEY, HOST_MOVES, HOOK_KEY) if (home.path / name).exists()
    ]
    return {name: home.read(name) for name in there}


def test_the_first_opening_stores_the_keys_sealed(home: Home, database: Database):
    with database.read() as db:
        rows = list(db.scalars(select(ServerKey)))
    assert {row.name for row in rows} == {HOST_KEY, LOG_KEY}
    for row in rows:
        assert home.read(row.name) not in row.sealed
    vault = open_vault(home, database)
    sealed = {row.name: row.sealed for row in rows}
    assert vault.open_key(HOST_KEY, sealed[HOST_KEY]) == home.read(HOST_KEY)
    with pytest.raises(IntegrityError, match="does not open"):
        vault.open_key(LOG_KEY, sealed[HOST_KEY])


def test_an_imported_node_has_the_same_keys_after_its_first_opening(
    home: Home, database: Database, tmp_path: Path, renew: Callable[[Home], int]
):
    other = imported(home, tmp_path / "other", database)
    assert {path.name for path in other.path.iterdir()} == {
        "blobs",
        "joins.json",
        "master.key",
        "run.json",
    }
    other.prepare()
    renew(other)
    assert shared(other) == shared(home)
    Registry(database, other, now_ms).join("")
    assert not (other.path / "joins.json").exists()
    assert other.path.stat().st_mode & 0o077 == 0
    for name in shared(other):
        assert (other.path / name).stat().st_mode & 0o077 == 0


def test_an_imported_node_without_the_contents_of_files_does_not_start(
    home: Home, database: Database, tmp_path: Path
):
    other = imported(home, tmp_path / "other", database)
    check_contents(other, database, LocalBlobs(other.blobs))
    place = "ab/" + "ab" * 16
    factory.people(home, database).add("alice", digits=6, period=30, algorithm="SHA1")
    with database.write() as db:
        row = {"root": bytes(32), "owner_id": 1, "node_id": None, "salt": bytes(32), "size": 1}
        blob_rows.add_all(db, [{**row, "created_ms": 0, "data": None, "place": place}])
    with pytest.raises(HomeError, match="is empty, but the database names contents"):
        check_contents(other, database, LocalBlobs(other.blobs))
    check_contents(home, database, LocalBlobs(home.blobs))
    (other.blobs / "ab").mkdir()
    (other.blobs / place).touch()
    check_contents(other, database, LocalBlobs(other.blobs))


def test_an_imported_node_that_is_given_no_database_or_an_empty_one_makes_no_server(
    home: Home, database: Database, tmp_path: Path
):
    other = imported(home, tmp_path / "other", database)
    with pytest.raises(BadSettingError, match="uses the database"):
        factory.open_server(other, None)
    with pytest.raises(HomeError, match="no keys of this server"):
        factory.open_server(other, f"sqlite:///{tmp_path / 'empty.db'}")
    assert not (other.path / HOST_KEY).exists()


def test_a_data_directory_of_another_server_is_refused_and_nothing_is_changed(
    home: Home, database: Database, tmp_path: Path, renew: Callable[[Home], int]
):
    other = Home(tmp_path / "another server")
    other.prepare()
    before = shared(other)
    with pytest.raises(IntegrityError, match="does not open with this master key"):
        renew(other)
    other.replace("master.key", home.master_key())
    with pytest.raises(IntegrityError, match=r"log key .* is not the one of its database"):
        renew(other)
    assert shared(other) == before
    renew(home)
    assert shared(home) != before


def test_the_database_decides_about_a_host_key_that_differs(
    home: Home, renew: Callable[[Home], int], caplog: pytest.LogCaptureFixture
):
    before = home.read(HOST_KEY)
    home.replace(HOST_KEY, rsa_key("other-host").der)
    renew(home)
    assert home.read(HOST_KEY) == before
    assert "differed from the database" in caplog.text
    (home.path / HOST_KEY).unlink()
    renew(home)
    assert home.read(HOST_KEY) == before


def test_a_hook_key_that_an_administrator_replaces_reaches_the_other_nodes(
    home: Home, database: Database, tmp_path: Path, renew: Callable[[Home], int]
):
    home.prepare_hooks(b"the first")
    first = renew(home)
    other = imported(home, tmp_path / "other", database)
    renew(other)
    assert other.read(HOOK_KEY) == b"the first"
    home.replace(HOOK_KEY, b"the second")
    assert renew(home) > first
    renew(other)
    assert other.read(HOOK_KEY) == b"the second"
    copied = Home(shutil.copytree(home.path, tmp_path / "copied"))
    (copied.path / "keys.seen").unlink()
    copied.replace(HOOK_KEY, b"an own one, from before the keys were in the database")
    renew(copied)
    assert copied.read(HOOK_KEY) == b"the second"


@pytest.mark.parametrize("name", [HOST_KEY, HOST_MOVES, LOG_KEY])
def test_a_damaged_key_is_not_stored(tmp_path: Path, url_at_head: str, name: str):
    home = Home(tmp_path / "damaged")
    home.prepare()
    home.replace(name, b"damaged")
    with pytest.raises(IntegrityError, match=re.escape(name)):
        factory.open_server(home, url_at_head)
    with closing(Database(url_at_head)) as database, database.read() as db:
        assert list(db.scalars(select(ServerKey))) == []


# --- rotation of the master key


def test_a_rotation_of_the_master_key_seals_the_keys_again(
    home: Home, database: Database, tmp_path: Path, renew: Callable[[Home], int]
):
    other = imported(home, tmp_path / "other", database)
    renew(other)
    before = shared(home)
    rotate(home, database)
    renew(home)
    assert shared(home) == before
    with pytest.raises(IntegrityError, match="does not open with this master key"):
        renew(other)
    url = database.url.render_as_string(hide_password=True)
    again = seal_node(home, server_name(home), url, PHRASE, os.urandom)
    assert not import_node(other, open_node(again, PHRASE))
    renew(other)
    assert shared(other) == before


def test_the_master_key_is_not_rotated_while_another_node_runs(
    home: Home, database: Database, tmp_path: Path
):
    other = Registry(database, imported(home, tmp_path / "other", database), now_ms, name="n2")
    other.join("192.0.2.7:65432")
    before = home.master_key()
    with pytest.raises(HomeBusyError, match=r"n2 \(192\.0\.2\.7:65432\)"):
        rotate(home, database)
    assert home.master_key() == before
    assert not (home.path / "master.key.next").exists()
    with database.write() as db:
        seen = now_ms() - int(DEAD_S * 1000) - 60_000
        db.execute(update(ClusterNode).values(seen_ms=seen))
    rotate(home, database)
    assert home.master_key() != before


# --- exports


def test_an_export_opens_only_with_its_passphrase_and_only_whole(home: Home, database: Database):
    sealed = seal_node(home, server_name(home), "sqlite://", PHRASE, os.urandom)
    assert home.master_key() not in sealed
    with pytest.raises(WrongPassphraseError):
        open_node(sealed, "another passphrase")
    changed = bytearray(sealed)
    changed[-50] ^= 1
    for damaged in (sealed[:-1], sealed[: len(MAGIC)], bytes(changed), b"", b"x"):
        with pytest.raises(IntegrityError):
            open_node(damaged, PHRASE)
    with pytest.raises(IntegrityError):
        open_node(sealed + b"\0", PHRASE)


def test_an_import_into_anything_else_is_refused(home: Home, database: Database, tmp_path: Path):
    sealed = seal_node(home, server_name(home), "sqlite://", PHRASE, os.urandom)
    secrets = open_node(sealed, PHRASE)
    other = Home(tmp_path / "another server")
    other.prepare()
    before = other.master_key()
    with pytest.raises(ConflictError, match="of another server"):
        import_node(other, secrets)
    assert other.master_key() == before
    full = Home(tmp_path / "full")
    full.path.mkdir()
    (full.path / "notes").touch()
    with pytest.raises(HomeError, match="not empty"):
        import_node(full, secrets)
    assert len(secrets.master_key) == crypto.KEY_SIZE
    with home.lock(), pytest.raises(HomeBusyError):
        import_node(home, secrets)


# --- rotation of the host key


@pytest.fixture
def rotate_host(database: Database) -> Callable[..., tuple[str, str]]:
    def rotated(home: Home, **how: Any) -> tuple[str, str]:
        vault = open_vault(home, database)
        keys = factory.server_keys(home, database)
        return rotate_host_key(home, database, keys, vault, lambda: TIME_MS, **how)

    return rotated


def leads_to_now(home: Home, expected: str) -> bool:
    keys = HostKeys(home)
    said = follow(
        answer(question(crypto.digest_of(expected)), keys.moves(), keys.current().public), expected
    )
    now = crypto.fingerprint(keys.current().public)
    return expected == now or (said is not None and said.successor == now)


class Crash(Exception):
    """A simulated stop of the machine."""


def test_every_former_key_leads_to_the_one_of_now(home: Home, rotate_host):
    seen = [crypto.fingerprint(home.host_key().public)]
    for _ in range(3):
        before, after = rotate_host(home)
        assert before == seen[-1]
        seen.append(after)
    assert len(set(seen)) == 4
    assert all(leads_to_now(home, expected) for expected in seen)
    for name in ("host.key", "host.moves"):
        assert (home.path / name).stat().st_mode & 0o777 == 0o600


def test_a_stolen_key_leads_nowhere(home: Home, rotate_host):
    first, second = rotate_host(home)
    rotate_host(home, stolen=True)
    assert HostKeys(home).moves() == []
    assert not leads_to_now(home, first)
    assert not leads_to_now(home, second)


def test_the_host_key_changes_only_when_every_node_that_is_alive_has_the_new_one(
    home: Home, database: Database, tmp_path: Path, rotate_host, renew: Callable[[Home], int]
):
    other = imported(home, tmp_path / "other", database)
    version = renew(other)
    node, frozen = (Registry(database, other, now_ms, name=name) for name in ("n2", "n3"))
    for each in (node, frozen):
        each.join("")
        each.confirm_keys(version)
    with database.write() as db:
        earlier = ClusterNode.seen_ms - int(DEAD_S * 1000) - 60_000
        db.execute(update(ClusterNode).where(ClusterNode.name == "n3").values(seen_ms=earlier))
    seen: list[bytes] = []

    def between(_: float) -> None:
        keys = factory.server_keys(other, database)
        version = keys.renew()
        assert other.read(HOST_KEY) == before, "the node shows the old key"
        assert keys.next_host_key is not None
        seen.append(keys.next_host_key)
        node.confirm_keys(version)

    before = home.read(HOST_KEY)
    _, after = rotate_host(home, wait=between)
    assert [crypto.fingerprint(crypto.RsaKey(key).public) for key in seen] == [after]
    renew(other)
    assert shared(other) == shared(home)
    assert other.read(HOST_KEY) != before


def test_a_host_key_whose_change_was_interrupted_stays(
    home: Home, database: Database, rotate_host, renew: Callable[[Home], int]
):
    first = crypto.fingerprint(home.host_key().public)
    node = Registry(database, home, now_ms)
    node.join("")

    def stops(_: float) -> None:
        raise Crash

    with pytest.raises(Crash):
        rotate_host(home, wait=stops)
    renew(home)
    assert crypto.fingerprint(home.host_key().public) == first
    node.leave()
    rotate_host(home)
    assert leads_to_now(home, first)
    assert len(HostKeys(home).moves()) == 1


def test_of_two_rotations_at_the_same_time_one_is_refused(
    home: Home, database: Database, rotate_host
):
    node = Registry(database, home, now_ms)
    node.join("")

    def another(_: float) -> None:
        node.leave()
        rotate_host(home)

    with pytest.raises(ConflictError, match="another command"):
        rotate_host(home, wait=another)
    assert len(HostKeys(home).moves()) == 1


def test_a_change_that_cannot_be_recorded_is_not_made(home: Home, rotate_host):
    before = shared(home)

    def fails(_before: str, _after: str) -> None:
        raise Crash

    with pytest.raises(Crash):
        rotate_host(home, record=fails)
    assert shared(home) == before


# --- one maintenance command at a time


def test_maintenance_runs_on_one_node_at_a_time_where_the_database_can_tell(
    home: Home, database: Database, tmp_path: Path
):
    other = imported(home, tmp_path / "other", database)
    with maintenance(home, database):
        with pytest.raises(HomeBusyError), maintenance(home, database):
            pass
        if database.url.get_backend_name() == "postgresql":
            busy = pytest.raises(HomeBusyError, match="on this database")
            with busy, maintenance(other, database):
                pass
    with maintenance(other, database):
        pass


def test_a_maintenance_command_that_is_frozen_keeps_no_lock(
    home: Home, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if database.url.get_backend_name() != "postgresql":
        pytest.skip("the lock of a data directory ends with its process alone")
    monkeypatch.setattr(alone, "SPEAK_S", 3600.0)
    other = imported(home, tmp_path / "other", database)

    def is_free() -> bool:
        with contextlib.suppress(HomeBusyError), maintenance(other, database):
            return True
        return False

    with maintenance(home, database, silence_s=0.3):
        until(is_free, "PostgreSQL ends the connection that is silent")

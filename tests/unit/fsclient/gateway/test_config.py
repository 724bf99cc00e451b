"""What the gateway writes for OpenSSH, OpenSSH reads: any folder, any address."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fsclient.gateway.config import ConfigFiles, rclone_options
from fsclient.gateway.keys import ALIAS, GatewayKeys
from fsproto.link import parse_address
from tests.support.gateways import needed

FOLDERS = [
    "plain",
    "two words",
    "100%h",
    "it's",
    'say "x"',
    "back\\slash",
    "end\\",
    "#1",
    "ü",
    "a=b",
]
ADDRESSES = ["127.0.0.1:2022", "[::1]:2022", "[fe80::1%eth0]:2022", "[fe80::1%25]:1", "host:2"]


def read_by_ssh(file: Path) -> dict[str, str]:
    """Return the options of the gateway as OpenSSH reads them."""
    command = ["ssh", "-G", "-F", str(file), ALIAS]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


def written(folder: Path, address: str) -> dict[str, str]:
    needed("ssh")
    folder.mkdir()
    keys = GatewayKeys(folder)
    keys.host_public.write_text("ssh-ed25519 AAAA fs-gateway\n")
    ConfigFiles(folder).write(keys, "alice", parse_address(address))
    return read_by_ssh(ConfigFiles(folder).ssh_config)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_any_name_is_found(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    found = written(folder, "127.0.0.1:2022")
    assert found["identityfile"].replace("%%", "%") == str(GatewayKeys(folder).client_key)
    known = ConfigFiles(folder).known_hosts
    assert found["userknownhostsfile"].replace("%%", "%") == str(known)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_any_form_is_reached(tmp_path: Path, address: str) -> None:
    found, where = written(tmp_path / "x", address), parse_address(address)
    assert (found["hostname"], found["port"]) == (where.host, str(where.port))


@pytest.mark.parametrize("address", ADDRESSES)
def test_rclone_gets_ipv6_addresses_in_brackets(tmp_path: Path, address: str) -> None:
    host, *_ = rclone_options(GatewayKeys(tmp_path), "alice", parse_address(address))
    assert host.strip("'") == f"host={address.rpartition(':')[0]}"

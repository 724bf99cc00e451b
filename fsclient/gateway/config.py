"""Configuration for other programs that connect to the gateway: OpenSSH files, lines to copy."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from fsclient.gateway import pass_socket
from fsclient.gateway.keys import ALIAS, GatewayKeys, fingerprint
from fsclient.gateway.listen import Place
from fsclient.local_errors import local_errors
from fsclient.profile_files import write_private
from fsproto.link import Address

CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""The fastest cipher that both ends support; OpenSSH prefers a slower one by default."""


@dataclass(frozen=True)
class ConfigFiles:
    """The files that OpenSSH and rclone read about one gateway, in a private folder."""

    folder: Path

    @property
    def ssh_config(self) -> Path:
        """OpenSSH's configuration."""
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The gateway's public key."""
        return self.folder / "known_hosts"

    def write(self, keys: GatewayKeys, user: str, address: Place) -> None:
        """Write both files, for a gateway that listens on `address`."""
        with local_errors(keys.host_public):
            kind, blob, _ = keys.host_public.read_text("ascii").split()
        names = [ALIAS]
        if isinstance(address, Address):
            names.append(f"[{address.host}]:{address.port}")
        write_private(self.known_hosts, f"{','.join(names)} {kind} {blob}\n".encode())
        lines = [
            f"Host {ALIAS}",
            *_reached(address),
            f"  User {user}",
            f"  HostKeyAlias {ALIAS}",
            f"  UserKnownHostsFile {_quoted(self.known_hosts)}",
            "  GlobalKnownHostsFile /dev/null",
            "  StrictHostKeyChecking yes",
            f"  IdentityFile {_quoted(keys.client_key)}",
            "  IdentitiesOnly yes",
            "  PreferredAuthentications publickey",
            "  ForwardAgent no",
            f"  Ciphers ^{CIPHERS}",
            "  Compression no",
        ]
        write_private(self.ssh_config, "\n".join([*lines, ""]).encode())


def _reached(address: Place) -> list[str]:
    """Return the lines of an OpenSSH configuration that say how a gateway is reached."""
    if isinstance(address, Address):
        host = address.host.replace("%", "%%")  # the sign of an IPv6 zone
        return [f"  HostName {host}", f"  Port {address.port}"]
    command = shlex.join([sys.executable, "-I", pass_socket.__file__, str(address.path)])
    return [f"  ProxyCommand {command.replace('%', '%%')}", "  ProxyUseFdpass yes"]


def lines(keys: GatewayKeys, user: str, address: Place) -> list[str]:
    """Return lines for each program that the user can copy."""
    config = shlex.quote(str(ConfigFiles(keys.folder).ssh_config))
    lftp = shlex.quote(f'set sftp:connect-program "ssh -a -x -F {config}"')
    return [
        "# sftp, scp, sshfs (OpenSSH)",
        f"sftp -F {config} {ALIAS}",
        f"scp -F {config} report.pdf {ALIAS}:/",
        f"sshfs -F {config} {ALIAS}:/ MOUNTPOINT",
        "",
        *_rclone(keys, user, address),
        "",
        "# lftp",
        f"lftp -e {lftp} sftp://{user}:@{ALIAS}",
        *(_file_zilla(keys, user, address) if isinstance(address, Address) else []),
    ]


def _rclone(keys: GatewayKeys, user: str, address: Place) -> list[str]:
    if isinstance(address, Address):
        said, options = "once this line", rclone_options(keys, user, address)
    else:
        said, options = "1.62 or newer, once this line", _rclone_over_ssh(keys)
    return [
        f"# rclone: {said}, then for example: rclone ls fs:",
        f"rclone config create fs sftp {' '.join(options)}",
    ]


def _file_zilla(keys: GatewayKeys, user: str, address: Address) -> list[str]:
    return [
        "",
        "# FileZilla: Site Manager, New site",
        "#   Protocol    SFTP - SSH File Transfer Protocol",
        f"#   Host        {address.host}    Port  {address.port}",
        f"#   Logon type  Key file    User  {user}",
        f"#   Key file    {keys.client_key}",
        f"#   It shows the host key {fingerprint(keys.host_public)} at first.",
    ]


_CHECKSUMS = {
    # rclone cannot detect them without a shell; the gateway supports only these two commands.
    "md5sum_command": "md5sum",
    "sha1sum_command": "sha1sum",
    "shell_type": "unix",
}


def _rclone_over_ssh(keys: GatewayKeys) -> list[str]:
    ssh = f"ssh -a -x -F {_quoted(ConfigFiles(keys.folder).ssh_config)} {ALIAS}"
    return [shlex.quote(f"{name}={value}") for name, value in ({"ssh": ssh} | _CHECKSUMS).items()]


def rclone_options(keys: GatewayKeys, user: str, address: Address) -> list[str]:
    """Return the options of an rclone remote, quoted for a shell."""
    options = {
        "host": f"[{address.host}]" if ":" in address.host else address.host,
        "port": str(address.port),
        "user": user,
        "key_file": str(keys.client_key),
        "known_hosts_file": str(ConfigFiles(keys.folder).known_hosts),
        **_CHECKSUMS,
    }
    return [shlex.quote(f"{name}={value}") for name, value in options.items()]


def _quoted(path: Path) -> str:
    """Return a path as `ssh_config` takes one: in quotes, with its special characters escaped."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'

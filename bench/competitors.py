"""The compared programs: their commands to put, to get and to clean up."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import run
from bench.servers import HOST, Fsd, Sshd

FASTEST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
REMOTE = "there"
"""Remote name of the uploaded file or folder."""


@dataclass
class Competitor:
    """One program with a folder of its own."""

    name: str
    folder: Path
    """Target of its downloads; also of its uploads, if its remote side is a local folder."""
    server: int | None = None
    env: Mapping[str, str] | None = None
    put: list[str] = field(default_factory=list)
    get: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    """Untimed command; if empty, `tidy` only removes `REMOTE` from the folder."""

    @property
    def back(self) -> Path:
        """Target of its downloads."""
        return self.folder / "back"

    def tidy(self) -> None:
        """Remove uploads and downloads, so that the next round starts empty."""
        if self.remove:
            run(self.remove, env=self.env)
        for path in (self.folder / REMOTE, self.back):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def ours(work: Path, server: Fsd, source: Path, env: Mapping[str, str] | None = None) -> Competitor:
    """Return `fsclient`, recursive by default; `env` selects a user other than the first."""
    made = Competitor("fsclient", _folder(work, "fsclient"), server.pid, env or server.env)
    made.put = server.client("put", source, REMOTE)
    made.get = server.client("get", REMOTE, made.back)
    made.remove = server.client("rm", "-r", REMOTE)
    return made


def sftp(work: Path, server: Sshd, source: Path, cipher: str) -> Competitor:
    """Return `sftp` with a batch of one line."""
    name = "sftp " + cipher.partition("@")[0]
    made = Competitor(name, _folder(work, name.replace(" ", "-")), server.pid)
    deep = "-r " if source.is_dir() else ""
    made.put = batch(made, server, "put", f"put {deep}{source} {made.folder / REMOTE}", cipher)
    made.get = batch(made, server, "get", f"get {deep}{made.folder / REMOTE} {made.back}", cipher)
    return made


def batch(who: Competitor, server: Sshd, name: str, line: str, cipher: str) -> list[str]:
    """Return a command line of `sftp` that runs one batch line."""
    file = who.folder / f"{name}.batch"
    file.write_text(line + "\n", encoding="utf-8")
    return ["sftp", "-q", "-F", str(server.config), "-c", cipher, "-b", str(file), HOST]


def scp(work: Path, server: Sshd, source: Path, cipher: str) -> Competitor:
    """Return `scp`."""
    made = Competitor("scp", _folder(work, "scp"), server.pid)
    start = ["scp", "-q", "-F", str(server.config), "-c", cipher]
    made.put = [*start, str(source), f"{HOST}:{made.folder / REMOTE}"]
    made.get = [*start, f"{HOST}:{made.folder / REMOTE}", str(made.back)]
    return made


def rsync(work: Path, server: Sshd, source: Path, cipher: str) -> Competitor:
    """Return `rsync -a` over ssh."""
    made = Competitor("rsync", _folder(work, "rsync"), server.pid)
    start = ["rsync", "-a", "-e", f"ssh -F {server.config} -c {cipher}"]
    made.put = [*start, f"{source}/", f"{HOST}:{made.folder / REMOTE}/"]
    made.get = [*start, f"{HOST}:{made.folder / REMOTE}/", f"{made.back}/"]
    return made


def _folder(work: Path, name: str) -> Path:
    folder = work / name
    folder.mkdir(parents=True)
    return folder

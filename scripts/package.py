#!/usr/bin/env python3
"""Builds the packages: `package.py dist|zipapp|deb`, into the folder dist/.

DIST in the environment names another folder. All files get the time of the last commit (or
SOURCE_DATE_EPOCH), and the lock file names the hash of each dependency, so two builds of one commit
on one kind of machine are equal.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = Path(os.environ.get("DIST", ROOT / "dist"))
PACKAGING = ROOT / "packaging"
PROGRAMS = ("fsd", "fsadmin", "fsclient")
SERVER_ONLY = (
    "alembic",
    "fsadmin",
    "fsd",
    "greenlet",
    "h11",
    "mako",
    "markupsafe",
    "prometheus_client",
    "sqlalchemy",
)
"""Top folders of packages that `fsclient` never imports."""
SERVER_EXTRAS = (
    *("psycopg", "psycopg-binary", "uvloop"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
)
AWS_SERVICES = ("s3", "sts", "sso", "sso-oidc")
"""Services that boto3 has to know: the store, and the ways to get access to it."""
UNITS = (
    "fsd.service",
    "fsd-backup.service",
    "fsd-backup.timer",
    "fsd-verify.service",
    "fsd-verify.timer",
)
COMPLETIONS = (
    ("bash", "usr/share/bash-completion/completions", "{}"),
    ("zsh", "usr/share/zsh/vendor-completions", "_{}"),
    ("fish", "usr/share/fish/vendor_completions.d", "{}.fish"),
)
"""Each shell, the folder where it looks for completions, and the name of a program's file."""
LIBRARY = "usr/lib/fs-sealed"
WRAPPER = f"""#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{LIBRARY}")
from {{program}}.cli import main

main()
"""


def main() -> None:
    """Build one kind of package."""
    kinds: dict[str, Callable[[], Path]] = {"dist": dist, "zipapp": zipapp, "deb": deb}
    build = kinds.get(" ".join(sys.argv[1:]))
    if build is None:
        sys.exit(f"usage: package.py {'|'.join(kinds)}")
    os.environ.setdefault("SOURCE_DATE_EPOCH", _output("git", "log", "-1", "--format=%ct"))
    os.environ["PYTHONHASHSEED"] = "0"
    os.umask(0o022)
    DIST.mkdir(parents=True, exist_ok=True)
    print(build())


def dist() -> Path:
    """Build the wheel and the sdist; return the wheel."""
    _run(sys.executable, "-m", "hatchling", "build", "--directory", str(DIST))
    (wheel,) = DIST.glob(f"fs_sealed-{version()}-*.whl")
    return wheel


def zipapp() -> Path:
    """Build `fsclient` as one file for this kind of machine and Python."""
    target = DIST / "fsclient.pyz"
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "site"
        _stage(stage)
        for name in SERVER_ONLY:
            shutil.rmtree(stage / name, ignore_errors=True)  # some platforms need fewer
            for facts in stage.glob(f"{name}-*.dist-info"):
                shutil.rmtree(facts)
        _same_times(stage)
        _run(
            os.environ["SHIV"],
            *("--site-packages", str(stage), "--entry-point", "fsclient.cli:main"),
            *("--python", "/usr/bin/env python3", "--output-file", str(target)),
            *("--reproducible", "--compressed", "--compile-pyc"),
        )
    return target


def deb() -> Path:
    """Build a Debian package for Debian releases that have the Python of this environment."""
    minor = sys.version_info[1]
    architecture = _output("dpkg", "--print-architecture")
    target = DIST / f"fs-sealed_{version()}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        _stage(root / LIBRARY, SERVER_EXTRAS)
        _forget_services(root / LIBRARY / "botocore/data")
        _add_programs(root)
        _add_pages(root)
        control = root / "DEBIAN"
        shutil.copytree(PACKAGING / "debian", control)
        filled = (
            (control / "control")
            .read_text()
            .format(
                version=version(),
                architecture=architecture,
                least=f"3.{minor}~",
                most=f"3.{minor + 1}~",
                size=sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024,
            )
        )
        (control / "control").write_text(filled)
        for script in ("postinst", "prerm", "postrm"):
            (control / script).chmod(0o755)
        _same_times(root)
        _run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(target))
    return target


def version() -> str:
    """Return the version of the packages."""
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "fsproto/__init__.py").read_text())
    if found is None:
        sys.exit("fsproto has no __version__")
    return found[1]


def _stage(folder: Path, extras: tuple[str, ...] = ()) -> None:
    """Install the wheel and its locked dependencies into a folder, without times and paths.

    `extras` are further packages in requirements-dev.lock.
    """
    lock = folder.with_name("requirements.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text((ROOT / "requirements.lock").read_text() + "".join(map(_locked, extras)))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--target", str(folder), "--no-compile", "--no-deps"]
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    for what in (locked, [str(dist())]):
        _run(*pip, *what)
        shutil.rmtree(folder / "bin")
    lock.unlink()
    for facts in folder.glob("*.dist-info"):
        for name in ("direct_url.json", "INSTALLER", "REQUESTED", "RECORD"):
            (facts / name).unlink(missing_ok=True)


def _forget_services(folder: Path) -> None:
    """Delete the descriptions of unused services: 27 of 28 MB."""
    for path in folder.iterdir():
        if path.is_dir() and path.name not in AWS_SERVICES:
            shutil.rmtree(path)


def _locked(name: str) -> str:
    """Return the lines that pin a package in requirements-dev.lock, without its condition."""
    text = (ROOT / "requirements-dev.lock").read_text()
    found = re.search(
        rf"^({re.escape(name)}==[^ ;]+)[^\n\\]*((?:\\\n    --hash=\S+ ?)+)", text, re.MULTILINE
    )
    if found is None:
        sys.exit(f"requirements-dev.lock does not pin {name}")
    return f"{found[1]} {found[2]}\n"


def _add_programs(root: Path) -> None:
    programs = root / "usr/bin"
    programs.mkdir(parents=True)
    for program in PROGRAMS:
        path = programs / program
        path.write_text(WRAPPER.format(program=program))
        path.chmod(0o755)


def _add_pages(root: Path) -> None:
    """Add man pages, completion, units and documents."""
    library = str(root / LIBRARY)
    for program, section in (("fsd", 8), ("fsadmin", 8), ("fsclient", 1)):
        page = _fsadmin(library, "print-man", program)
        _write_zipped(root / f"usr/share/man/man{section}/{program}.{section}.gz", page)
    for shell, folder, name in COMPLETIONS:
        completions = root / folder
        completions.mkdir(parents=True)
        (completions / name.format("fsclient")).write_text(_fsadmin(library, "completion", shell))
        if shell != "zsh":  # zsh reads the programs' names in its first line
            for program in ("fsd", "fsadmin"):
                (completions / name.format(program)).symlink_to(name.format("fsclient"))
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in UNITS:
        program = "/usr/bin/fsd" if unit == "fsd.service" else "/usr/bin/fsadmin"
        (units / unit).write_text(_fsadmin(library, "print-unit", unit, "--program", program))
    papers = root / "usr/share/doc/fs-sealed"
    papers.mkdir(parents=True)
    shutil.copy(ROOT / "LICENSE", papers / "copyright")
    _write_zipped(papers / "CHANGELOG.md.gz", (ROOT / "CHANGELOG.md").read_text())


def _fsadmin(library: str, *words: str) -> str:
    code = f"import sys; sys.path.insert(0, {library!r}); from fsadmin.cli import main; main()"
    return _output(sys.executable, "-I", "-B", "-c", code, *words, strip=False)


def _write_zipped(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _same_times(folder: Path) -> None:
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (when, when), follow_symlinks=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def _output(*command: str, strip: bool = True) -> str:
    made = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    return made.strip() if strip else made


if __name__ == "__main__":
    main()

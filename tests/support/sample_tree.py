"""A folder with one of each kind of file that stock programs must be able to copy."""

from __future__ import annotations

import os
import random
from pathlib import Path

MIB = 1 << 20
OLD_NS = 1_234_567_890 * 10**9
"""The modification time of the larger files."""
_SIZES = {
    "empty": 0,
    "small.txt": 11,
    "just inline": 65_464,
    "deep/er/large.bin": 5 * MIB + 3,
    "deep/named ünïcödé ✓": 300_000,
    "-dash": 5,
    'quote\'s "and" $sign': 70_000,
}
_MANY = 30


def make_mixed(top: Path) -> Path:
    """Create it: empty and large files, unusual names, nested folders, many small files."""
    draw = random.Random(1)
    for name, size in _SIZES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw.randbytes(size))
        os.utime(path, ns=(OLD_NS, OLD_NS))
    (top / "many").mkdir()
    for number in range(_MANY):
        (top / "many" / f"{number}").write_bytes(draw.randbytes(number * 100))
    return top


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

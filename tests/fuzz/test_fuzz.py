"""No input makes a parser fail in another way than it says: seeds, changed seeds, and fuzzing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.conftest import TIER
from tests.fuzz.targets import TARGETS
from tests.support.servers import ROOT

_MOST = "-max_total_time=120" if TIER == "soak" else "-atheris_runs=4000"
"""When the fuzzing of a parser ends. A number of inputs is as many on a busy machine."""
_CHANGED = 5_000 if TIER == "soak" else 100
"""Changed seeds of each parser, which need no fuzzer."""
_PROCESSES = len(TARGETS) if TIER == "soak" else 1
"""Preparing one takes seconds. In `soak`, all targets would take longer than a test may."""

targets = pytest.mark.parametrize("name", TARGETS)


@targets
def test_no_seed_and_no_changed_seed_makes_a_parser_fail(name: str):
    target, random = TARGETS[name], Random(name)
    seeds, mutator = target.seeds(), target.mutator()
    for seed in seeds:
        target(seed)
        for size in {len(seed) // 2, max(0, len(seed) - 1)}:
            target(seed[:size])
    for _ in range(_CHANGED):
        flipped = bytearray(random.choice(seeds))
        for _ in range(random.randrange(1, 4)):
            if flipped:
                flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
        target(bytes(flipped))
        if target.packed:
            target(mutator.changed(bytes(flipped), 1 << 14, random))


@targets
def test_a_parser_accepts_one_of_its_seeds(name: str):
    """Otherwise the fuzzing would only try how inputs are rejected at their start."""
    target = TARGETS[name]
    assert any(target(seed) for seed in filter(None, target.seeds()))


_GROUPS = [list(TARGETS)[first::_PROCESSES] for first in range(_PROCESSES)]


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="NOTHING IS FUZZED: atheris has no wheel for this Python and machine",
)
@pytest.mark.long
@pytest.mark.parametrize("names", _GROUPS, ids=lambda names: names[0])
def test_fuzzing_finds_no_input_that_makes_a_parser_fail(names: list[str], tmp_path: Path):
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.run"),
            *(",".join(names), _MOST),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {path.name: path.read_bytes().hex() for path in tmp_path.iterdir()}
    assert ran.returncode == 0, f"{found}\n{ran.stderr[-4000:]}"
    assert [line for line in ran.stderr.splitlines() if line.startswith("Fuzzing ")] == [
        f"Fuzzing {name}" for name in names
    ]

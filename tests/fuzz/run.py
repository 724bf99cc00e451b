"""Fuzz one parser, guided by coverage: `python -m tests.fuzz.run TARGET [libFuzzer's options]`.

Without options it runs until it is interrupted; `-max_total_time=60` ends it after a minute,
`-atheris_runs=N` after N inputs. An input that fails is written to the current folder, and the
traceback is shown. Give its path to run it again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import atheris

from tests.fuzz.mutate import changed

with atheris.instrument_imports(include=["fsproto", "fskit", "fsd", "fsclient"]):
    from tests.fuzz.targets import TARGETS, Target


def main() -> None:
    """Fuzz the target that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"Usage: python -m tests.fuzz.run TARGET [OPTIONS]; targets: {', '.join(TARGETS)}")
    target, options = TARGETS[sys.argv[1]], sys.argv[2:]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        arguments = [sys.argv[0], "-max_len=16384", *options, corpus]
        if target.packed:
            atheris.Setup(arguments, target, custom_mutator=_mutator(target))
        else:
            atheris.Setup(arguments, target)
        atheris.Fuzz()


def _mutator(target: Target) -> Callable[[bytes, int, int], bytes]:
    seeds = target.seeds()

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.1:
            return bytes(atheris.Mutate(data, most))
        return changed(seeds, data, most, random)

    return mutated


if __name__ == "__main__":
    main()

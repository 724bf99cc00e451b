"""Fuzz parsers, guided by coverage: `python -m tests.fuzz.run TARGETS [libFuzzer's options]`.

TARGETS are names with commas between them; each target runs in a process of its own, one after the
other. Without options a target runs until it is interrupted; `-max_total_time=60` ends it after a
minute, `-atheris_runs=N` after N inputs. A folder among the options keeps the inputs that reach new
code, and is where the next run continues; `tests.fuzz.campaign` uses that for all targets. An input
that fails is written to the current folder, and the traceback is shown. Give its path to run it
again. The exit status is the first failed target's.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["fsproto", "fskit", "fsd", "fsclient"]):
    from tests.fuzz.targets import TARGETS, Target


_MEMORY = Path("/dev/shm")
"""Where files are fast, on Linux."""


def main() -> None:
    """Fuzz the targets that the command line names."""
    names = sys.argv[1].split(",") if len(sys.argv) > 1 else []
    if not names or not TARGETS.keys() >= set(names):
        usage = "Usage: python -m tests.fuzz.run TARGETS [OPTIONS]"
        sys.exit(f"{usage}; targets, with commas between them: {', '.join(TARGETS)}")
    # A fork then does not visit the objects of all modules when it ends, which copied their pages.
    gc.collect()
    gc.freeze()
    for name in names:
        print(f"Fuzzing {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as scratch:
            # The fuzzer ends its process; a fork does not instrument the modules again.
            child = os.fork()
            if child == 0:
                tempfile.tempdir = scratch
                fuzz(TARGETS[name], sys.argv[2:])
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            sys.exit(status if status > 0 else 128 - status)


def fuzz(target: Target, options: list[str]) -> None:
    """Fuzz one target, and end this process, without its cleanup."""
    arguments = [sys.argv[0], "-max_len=16384", *options]
    if not any(Path(option).is_file() for option in options):  # else these inputs are run again
        corpus = tempfile.mkdtemp()
        for number, seed in enumerate(target.seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        arguments.append(corpus)
    if target.packed:
        atheris.Setup(arguments, target, custom_mutator=_mutator(target))
    else:
        atheris.Setup(arguments, target)
    atheris.Fuzz()
    os._exit(0)


def _mutator(target: Target) -> Callable[[bytes, int, int], bytes]:
    mutator, random = target.mutator(), Random(0)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        if seed % 10 == 0:
            return bytes(atheris.Mutate(data, most))
        return mutator.changed(data, most, random)

    return mutated


if __name__ == "__main__":
    main()

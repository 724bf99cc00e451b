"""`make bench`: fsclient and fsd compared with OpenSSH and rsync, in one run on one machine.

The benchmark asserts no speed. It fails only if a program fails or returns wrong bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import growth, picture, report
from bench.kinds import KINDS
from bench.lab import Lab, say
from bench.machine import MEMORY, load, machine, programs
from bench.measure import FailedError
from bench.plan import EVERYTHING, FULL, QUICK, Plan
from bench.servers import MissingError, fsd, sshd

RESULTS = Path(__file__).parent / "results"


def measure(plan: Plan) -> dict[str, Any]:
    """Run all measurements in a temporary folder; return the results."""
    base = MEMORY if os.access(MEMORY, os.W_OK) else None
    loads = [load()]
    with (
        tempfile.TemporaryDirectory(prefix="fs-bench-", dir=base) as name,
        contextlib.ExitStack() as stack,
    ):
        work, ssh, missing = Path(name), None, None
        try:
            ssh = stack.enter_context(sshd(work))
        except MissingError as error:
            missing = error
        lab = Lab(plan, work, stack.enter_context(fsd(work)), ssh)
        if missing:
            lab.skip("OpenSSH and rsync", missing)
        say("primitives")
        found = lab.probe("primitives", work)
        lab.limits, lab.versions = found["limits"], found["versions"] | programs()
        for kind in plan.what:
            started = time.monotonic()
            KINDS[kind](lab)
            say(f"{kind}: {time.monotonic() - started:.0f} s")
        loads.append(load())
        return written_down(lab, loads)


def written_down(lab: Lab, loads: list[float]) -> dict[str, Any]:
    """Return the results as a JSON object."""
    return {
        "kind": lab.plan.kind,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(lab.work),
        "versions": lab.versions,
        "rounds": lab.plan.rounds,
        "load_before_and_after": loads,
        "skipped": lab.skipped,
        "limits": {key: round(value, 1) for key, value in lab.limits.items()},
        "comparisons": [comparison.as_json() for comparison in lab.comparisons],
        "sizes": [
            {"bytes": size, "put": put.as_json(), "get": get.as_json()}
            for size, put, get in lab.sizes
        ],
        "memory": lab.memory,
        "fairness": lab.fairness,
        "scale": lab.scale,
    }


def stop(number: int, _frame: object) -> None:
    """Exit through the normal clean-up, as Ctrl-C does."""
    raise SystemExit(128 + number)


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less: under a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of the long measurements")
    parser.add_argument(
        "--only", nargs="+", choices=EVERYTHING, metavar="NAME", default=[],
        help=f"measure only these; results go to only.json. {', '.join(EVERYTHING)}",
    )  # fmt: skip
    parser.add_argument(
        "--scale", action="store_true",
        help="measure instead how cost grows with what is stored; results go to growth.json",
    )  # fmt: skip
    parser.add_argument("--files", type=int, default=100_000, metavar="N", help="with --scale")
    parser.add_argument("--people", type=int, default=2000, metavar="N", help="with --scale")
    return parser.parse_args()


def planned(chosen: argparse.Namespace) -> Plan:
    """Return the plan that the command line selects."""
    plan = QUICK if chosen.quick else FULL
    plan = replace(plan, rounds=max(1, chosen.rounds or plan.rounds))
    if chosen.only:
        names = tuple(name for name in EVERYTHING if name in chosen.only)
        plan = replace(plan, kind="only", what=names)
    return plan


def main() -> int:
    """Measure; write the results, draw the picture, print the tables."""
    chosen = options()
    plan = planned(chosen)
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), stop)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a thousand sessions at once
    started = time.monotonic()
    try:
        if chosen.scale:
            grown = growth.measure(chosen.files, chosen.people)
        else:
            found = measure(plan)
    except FailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; all servers are stopped and all files removed", file=sys.stderr)
        return 130
    RESULTS.mkdir(exist_ok=True)
    if chosen.scale:
        (RESULTS / "growth.json").write_text(json.dumps(grown, indent=1) + "\n", encoding="utf-8")
        print(growth.markdown(grown))
        return 0
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{plan.kind}.json").write_text(text, encoding="utf-8")
    (RESULTS / f"{plan.kind}.svg").write_text(picture.draw(found), encoding="utf-8")
    print(report.markdown(found))
    print(
        f"\n{time.monotonic() - started:.0f} s; written to bench/results/{plan.kind}.json and .svg"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

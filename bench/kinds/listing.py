"""Listing of a folder with very many entries."""

from __future__ import annotations

from collections.abc import Callable

from bench import competitors
from bench.lab import Lab, telling
from bench.measure import Comparison, rounds, run


def listing(lab: Lab) -> None:
    """Compare `fsclient ls` with `ls -1` of sftp, on a folder with the same names."""
    work = lab.folder("listing")
    source = work / "source"
    source.mkdir()
    for number in range(lab.plan.listing):
        (source / f"entry {number}").write_bytes(b"x")
    mine, server = competitors.ours(work, lab.server, source), lab.server
    run(mine.put, env=server.env)
    title = f"List a folder with {lab.plan.listing:,} entries"
    listed = Comparison("listing", title, "ms", None)
    command = server.client("ls", competitors.REMOTE)

    def ours() -> None:
        listed.row("fsclient").samples.append(run(command, env=server.env, server=server.pid))

    turns: list[Callable[[], None]] = [ours]
    if lab.ssh:
        who = competitors.sftp(work, lab.ssh, source, lab.cipher)
        line = competitors.batch(who, lab.ssh, "ls", f"ls -1 {source}", lab.cipher)
        turns.append(lambda: listed.row(who.name).samples.append(run(line, server=who.server)))
    rounds(lab.plan.rounds, turns, telling("listing"))
    mine.tidy()
    lab.comparisons.append(listed)

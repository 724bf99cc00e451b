"""Latency of short commands and of a login."""

from __future__ import annotations

import sys
from statistics import median

from bench.lab import Lab, telling
from bench.measure import Comparison, Sample, rounds, run
from bench.servers import BIN, HOST


def latency(lab: Lab) -> None:
    """Compare whole commands, and a login inside one process, with `ssh host true`."""
    whole = Comparison("latency", "A command that asks the server one thing", "ms", None)
    inside = Comparison("login", "Connect and log in, inside one process", "ms", None)
    start = Comparison("version", "Start and say the version", "ms", None)
    whole.ours, inside.ours, start.ours = "fsclient status", "logged in", "fsclient --version"
    inside.also_ours = "tree verified"
    server, python = lab.server, Comparison("python", "", "ms", None)

    def ours() -> None:
        whole.row(whole.ours).samples.append(run(server.client("status"), env=server.env))

    def logins() -> None:
        found = lab.probe("logins", 3)
        for name, key in ((inside.ours, "logged_in_s"), (inside.also_ours, "tree_verified_s")):
            inside.row(name).samples.append(Sample(median(found[key])))

    def theirs() -> None:
        if lab.ssh:
            sample = run(["ssh", "-F", str(lab.ssh.config), HOST, "true"])
            whole.row("ssh host true").samples.append(sample)
            inside.row("ssh host true").samples.append(sample)

    def version() -> None:
        command = [str(BIN / "fsclient"), "--version"]
        start.row(start.ours).samples.append(run(command, env=server.env))

    def bare() -> None:
        python.row("python").samples.append(run([sys.executable, "-c", "pass"]))

    turns = [ours, theirs, logins, version, bare]
    rounds(lab.plan.short_rounds, turns, telling("latency"))
    order = [inside.ours, inside.also_ours, "ssh host true"]
    inside.rows.sort(key=lambda row: order.index(row.name))
    whole.rows.sort(key=lambda row: row.name != whole.ours)
    whole.limit = start.limit = python.row("python").wall_s * 1000
    inside.limit = 1000 / lab.limits["rsa_3072_decrypt_s"]
    lab.comparisons += [whole, inside, start]

"""Benchmark reports: documents show the measured figures, and the chart draws every run."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from bench import limits, picture, report
from bench.goals import goals
from bench.machine import cores
from bench.plan import GIB, KIB, MIB
from tests.support.servers import ROOT

RESULTS = ROOT / "bench" / "results"
LATEST = json.loads((RESULTS / "latest.json").read_text(encoding="utf-8"))


def compared(*rows, unit="MB/s"):
    """Return one comparison from rows of (name, median, speed of fsclient relative to it)."""
    return {
        "unit": unit,
        "limit": 500.0,
        "anchor": None,
        "title": "Something",
        "rows": [
            {"name": n, "median": m, "ours_is_times_as_fast": t, "cpu_s_both_ends": 1.0}
            for n, m, t in rows
        ],
    }


def crowd(slowest, server_cpu_s):
    row = {
        "server_cpu_s_a_gib": server_cpu_s,
        "clients_cpu_s_a_gib": 3.0,
        "name": "fsclient",
        "slowest_by_fastest": slowest,
        "worst_slowest_by_fastest": slowest,
        "mb_s_together": 300.0,
        "median_s_each": 2.0,
    }
    return {"limit": 700.0, "rows": [row]}


def scaled(size, a_gib, over):
    names = ("client_put_over_idle_kib", "client_get_over_idle_kib", "server_over_idle_kib")
    times = ("put_s", "get_s", "put_s_a_gib", "get_s_a_gib")
    cpu = ("cpu_s_both_ends_put", "cpu_s_both_ends_get")
    return {"bytes": size} | dict.fromkeys((*times, *cpu), a_gib) | dict.fromkeys(names, over)


@pytest.fixture
def complete():
    """A complete benchmark run."""
    sizes = [
        {
            "bytes": size,
            "put": compared(("fsclient", value, None), ("sftp aes128-gcm", value / 2, 2.0)),
            "get": compared(("fsclient", value, None), ("sftp aes128-gcm", value / 3, 3.0)),
        }
        for size, value in ((KIB, 0.002), (MIB, 3.0), (GIB, 300.0))
    ]
    scale = {
        "in_memory": False,
        "write_and_sync_mb_s": 900.0,
        "rows": [scaled(GIB, 4.0, 14 * KIB), scaled(10 * GIB, 4.2, 15 * KIB)],
    }
    fairness = {"clients": 16, "bytes": MIB, "put": crowd(1.4, 1.1), "get": crowd(2.5, 0.9)}
    return LATEST | {"sizes": sizes, "scale": scale, "fairness": fairness}


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_paper_has_the_figures_of_the_latest_run():
    paper = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert report.put_into(paper, report.markdown(LATEST)) == paper


def test_the_picture_is_that_of_the_latest_run():
    assert (RESULTS / "latest.svg").read_text(encoding="utf-8") == picture.draw(LATEST)


def test_the_picture_shows_all_that_was_measured(complete):
    said = texts(picture.draw(complete))
    assert {"1 KiB", "1 MiB", "1 GiB", "put, fsclient", "get, sftp aes128-gcm"} <= set(said)
    assert "while a file of 10 GiB is put and got" in said
    assert said.count("15.0 MiB") == 3


def test_a_run_of_one_measurement_alone_can_be_drawn_and_reported(complete):
    alone = complete | {"comparisons": [], "memory": {}, "scale": None, "sizes": []}
    assert len(texts(picture.draw(alone))) == 2
    assert "16 at once, 1 MiB each" in report.markdown(alone)


def test_a_goal_is_reached_only_if_both_ways_reach_it(complete):
    found = {title: verdict for title, _, verdict in goals(complete)}
    assert found["16 clients at once: the slowest at most 2 times the fastest"] == "not reached"
    cpu = "the server's CPU time for them: put 1.2 s, get 0.8 s per GiB"
    assert found[cpu] == "partly reached"
    assert found["at most 64 MiB above idle, client and server"] == "reached"
    assert found["cost grows with size alone"] == "reached"


def test_what_a_large_file_costs_is_the_sum_of_its_parts():
    names = ("file_read", "file_write", "loopback", "aes_256_gcm", "sha_256")
    rates = {f"{name}_mb_s": 1000.0 for name in names} | {"python_start_s": 10.0}
    put, get = limits.large(rates)
    assert (put, get) == pytest.approx((1000 / 9 * cores(), 1000 / 8 * cores()))
    slow, _ = limits.sized(rates, 1_000_000)
    assert slow == pytest.approx(1 / (0.1 + 1 / put))

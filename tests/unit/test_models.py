"""Each model of docs/models holds, and finds the attack when its rule is taken out."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.conftest import TIER
from tests.support.servers import ROOT

RUN = ROOT / "docs" / "models" / "run"


@pytest.mark.skipif(TIER != "soak", reason="the models run in `make soak` and `make models`")
@pytest.mark.parametrize("model", ["lineage", "revocation", "otp", "uploads"])
def test_a_model_holds_and_finds_the_attack_without_its_rule(model):
    for program in ("spin", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"THE MODEL {model} IS NOT RUN: {program} is not installed here")
    done = subprocess.run(
        [sys.executable, str(RUN), model], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(TIER != "soak", reason="the models run in `make soak` and by hand")
def test_the_messages_hold_and_each_attack_is_found_without_its_rule():
    for program in ("proverif", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"THE PROVERIF FILES ARE NOT RUN: {program} is not installed here")
    done = subprocess.run(
        [sys.executable, str(RUN.parent / "proverif" / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

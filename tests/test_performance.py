"""The scripts that measure speed still run; what they measure is for people to read and is not judged here."""

import subprocess
import sys

import engines
import pytest
from support import ROOT


@pytest.mark.container
def test_the_comparison_of_warm_and_cold_prints_its_table(podman_engine):
    """A script that is run by hand alone would otherwise break unseen."""
    engines.build("podman", "hostile-correct")
    script = ROOT / "tests" / "performance" / "warm_or_cold.py"
    done = subprocess.run(
        [sys.executable, script, "--cases", "3", "--rounds", "1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert [line[:44].strip() for line in done.stdout.splitlines()[-4:]] == [
        "warm worker, between cases",
        "warm worker, its one start shared by all",
        "one container start per case",
        "the engine's bare start and end, no model",
    ]

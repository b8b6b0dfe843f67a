"""What stands where: the public names, and what an installed package brings along."""

import subprocess
import sys
import zipfile

import pytest
from support import ROOT


@pytest.mark.slow
def test_the_wheel_brings_configurations_benchmarks_and_templates(tmp_path):
    """Installed from a wheel, tef evaluates without a checkout."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())

    for name in (
        "_configs/evaluate.yaml",
        "_benchmarks/sts-pet-gtv/protocol.yaml",
        "report/templates/report.html.j2",
        "py.typed",
    ):
        assert f"tef/{name}" in names

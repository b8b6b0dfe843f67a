"""What the harness costs a case beyond the model's own time: a warm worker against one container start per case.

Run by hand: ``.venv/bin/python tests/performance/warm_or_cold.py [--cases 20] [--rounds 5]``. Needs Podman and the
image ``localhost/tef-hostile-correct:1`` (``docker/build.sh hostile-correct``). The arms take turns within each round, so
that a drift of the machine's speed hits all; medians over rounds, ratios first.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import make_cohort, protocol, write_benchmark, write_submission

from tef.contracts import Slot, Tef
from tef.prediction import Prediction
from tef.run import open_run
from tef.runtimes import Podman
from tef.runtimes.container import container_args

IMAGE = "localhost/tef-hostile-correct:1"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.cases, arguments.rounds)
    print(
        f"{arguments.cases} cases, {arguments.rounds} rounds; seconds a case beyond the model's own time, medians over rounds\n"
    )
    warm = statistics.median(rows["warm worker, between cases"])
    print(f"{'':44}{'ratio':>9}{'median s':>11}{'min s':>10}{'max s':>10}")
    for name, values in rows.items():
        median = statistics.median(values)
        print(f"{name:44}{median / warm:9.1f}{median:11.4f}{min(values):10.4f}{max(values):10.4f}")


def measure(folder: Path, n_cases: int, rounds: int) -> dict[str, list[float]]:
    """Seconds a case beyond the model's own time, per arm and round."""
    cohort = make_cohort(folder / "cubes", n_cases)
    benchmark = write_benchmark(folder / "benchmark" / "cubes", protocol(cohort))
    submission = write_submission(folder / "submission", image=IMAGE)
    runtime = Podman()
    pinned = runtime.pin(IMAGE, None)
    run = open_run(folder / "runs", benchmark, submission, cohort, {"digest": pinned.digest}, {})
    slot = Slot(0, runtime, pinned.digest, run, benchmark, (), threading.Event())
    rows: dict[str, list[float]] = {
        "warm worker, between cases": [],
        "warm worker, its one start shared by all": [],
        "one container start per case": [],
        "the engine's bare start and end, no model": [],
    }
    arms = list(rows.values())
    for _ in range(rounds):
        began = time.monotonic()
        done = [outcome for outcome in Tef().predict(slot, iter(cohort.cases)) if isinstance(outcome, Prediction)]
        total = time.monotonic() - began
        assert len(done) == n_cases
        model = sum(outcome.model_s for outcome in done)
        arms[0].append(statistics.median(outcome.total_s - outcome.model_s for outcome in done))
        arms[1].append((total - model) / n_cases)

        cold = []
        for case in cohort.cases[: max(3, n_cases // 4)]:
            began = time.monotonic()
            (outcome,) = Tef().predict(slot, iter([case]))
            assert isinstance(outcome, Prediction)
            cold.append(time.monotonic() - began - outcome.model_s)
        arms[2].append(statistics.median(cold))

        bare = []
        for number in range(3):
            args = container_args("podman", slot.spec(1000 + number), oci_runtime=runtime.facts()["oci_runtime"])
            args[-1:] = ["--rm", "--entrypoint", "true", args[-1]]
            began = time.monotonic()
            subprocess.run(["podman", *args], check=True, stdin=subprocess.DEVNULL, capture_output=True)
            bare.append(time.monotonic() - began)
        arms[3].append(statistics.median(bare))
    return rows


if __name__ == "__main__":
    main()

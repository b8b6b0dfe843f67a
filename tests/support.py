"""What several test modules share: a small cohort, a protocol for it, and a runtime that starts plain processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import yaml

from tef.benchmark import Benchmark, load_benchmark
from tef.cohort import Case, Cohort, pixel_sha256, write_cohort
from tef.sandbox import ContainerSpec, Ending, PinnedImage
from tef.submission import Submission, load_submission

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


def make_cohort(folder: Path, n_cases: int = 10) -> Cohort:
    """Cubes of different sizes in noise, two cases a patient; ``malignancy`` alternates."""
    random = np.random.default_rng(7)
    folder.mkdir(parents=True)
    cases = []
    for index in range(n_cases):
        mask = np.zeros((12, 12, 8), np.uint8)
        edge = 3 + index % 4
        mask[2 : 2 + edge, 3 : 3 + edge, 2:5] = 1
        scan = (mask + random.normal(0, 0.1, mask.shape)).astype(np.float32)
        paths = {}
        for name, array in (("scan", scan), ("lesion", mask)):
            paths[name] = folder / name / f"{index:03d}.nii.gz"
            paths[name].parent.mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), paths[name])
        cases.append(
            Case(
                case_id=f"secret-case-{index}",
                patient_id=f"secret-patient-{index // 2}",
                inputs={"scan": paths["scan"]},
                reference={"lesion": paths["lesion"], "malignancy": index % 2},
                attributes={"sex": "F" if index < n_cases // 2 else "M", "size_mm": float(edge * 2)},
                pixel_sha256=pixel_sha256(scan),
            )
        )
    return write_cohort(folder, {"name": "cubes", "version": "1", "title": "Cubes in noise"}, cases)


def protocol(cohort: Cohort, task: str = "segmentation", **changes: object) -> dict[str, object]:
    """The text of a complete protocol for `make_cohort`, as values."""
    masks = task == "segmentation"
    output = {"lesion": {"kind": "mask", "description": "The cube."}}
    metrics = [
        {"metric": "dice", "both_empty": 1.0},
        {"metric": "hd95", "surface": "edge-voxels", "both_empty": 0.0, "one_empty": "diagonal"},
        {"metric": "absolute-volume-difference"},
    ]
    if not masks:
        output = {"malignancy": {"kind": "probability", "description": "Of being malignant."}}
        metrics = [{"metric": "auroc"}, {"metric": "sensitivity"}, {"metric": "brier"}]
    values: dict[str, object] = {
        "schema_version": 1,
        "name": "cubes",
        "version": 1,
        "title": "Cubes in noise",
        "question": "Where is the cube?",
        "task": task,
        "cohort": {"name": "cubes", "sha256": cohort.sha256},
        "interface": {"inputs": {"scan": {"kind": "nifti", "description": "The scan."}}, "outputs": output},
        "reference_standard": "The cube that was put there.",
        "metrics": metrics,
        "primary": "dice" if masks else "auroc",
        "subgroups": [{"name": "sex", "attribute": "sex"}, {"name": "size", "attribute": "size_mm", "cuts": [8], "unit": "mm"}],
        "min_subgroup_patients": 2,
        "acceptance": [{"metric": "dice" if masks else "auroc", "at_least": 0.5}],
        "on_failure": "worst",
        "interval": {"level": 0.95, "replicates": 200, "seed": 1},
        "limits": {
            "memory_mb": 256, "shm_mb": 16, "tmp_mb": 16, "cpus": 1, "pids": 64, "open_files": 1024,
            "startup_timeout_s": 30, "case_timeout_s": 5, "output_mb": 1, "log_mb": 0.1,
        },
    }  # fmt: skip
    if not masks:
        values["operating_point"] = 0.5
    return values | changes


def write_benchmark(folder: Path, values: dict[str, object]) -> Benchmark:
    """Write a protocol and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return load_benchmark(folder)


def write_submission(folder: Path, **changes: object) -> Submission:
    """Write a submission.yaml and load it."""
    values = {
        "schema_version": 1,
        "name": "cube-finder",
        "version": "1.0",
        "image": "localhost/cube-finder:1",
        "contract": "tef",
        "resources": {"gpus": 0, "memory_mb": 128},
        "intended_use": "Tests.",
        "training_data": {"description": "None."},
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "submission.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return load_submission(folder)


class ProcessContainer:
    """A plain process that stands in for a container."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, bufsize=0)
        self._killed = False

    def kill(self) -> None:
        if self.process.poll() is None:
            self._killed = True
            self.process.kill()

    def ending(self) -> Ending:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        code = self.process.wait()
        code = 128 - code if code < 0 else code
        return Ending(code, oom_killed=code == 137 and not self._killed)


class ProcessRuntime:
    """Starts ``tests/model.py`` as a plain process: for tests of the line around a container, not of the container."""

    gpus: tuple[str, ...] = ()

    def __init__(self, mode: str = "good", output: str = "lesion") -> None:
        self.mode, self.output = mode, output
        self.starts = 0

    def pin(self, reference: str, digest: str | None) -> PinnedImage:
        return PinnedImage(reference, "sha256:" + "0" * 64, 1, "linux/amd64", {})

    def start(self, spec: ContainerSpec) -> ProcessContainer:
        self.starts += 1
        folders = {mount.target.strip("/").upper(): str(mount.source) for mount in spec.mounts}
        env = dict(os.environ) | folders | {"MODE": self.mode, "OUTPUT_NAME": self.output}
        return ProcessContainer([sys.executable, "-S", str(ROOT / "tests" / "model.py")], env)

    def run_ids(self) -> frozenset[str]:
        return frozenset()

    def remove_leftovers(self, run_id: str) -> int:
        return 0

    def facts(self) -> dict[str, str]:
        return {"engine": "process"}


def read_ledger(run_folder: Path) -> list[dict[str, object]]:
    """Every line of a run's ledger."""
    return [json.loads(line) for line in (run_folder / "ledger.jsonl").read_text().splitlines()]

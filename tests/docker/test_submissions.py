"""The submissions that come with the project, as far as they can be checked without building them."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tef.cohort import pixel_sha256
from tef.prediction import FailureCode
from tef.submission import load_submission

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SHARED = ROOT.parent / "shared"
SUBMISSIONS = sorted(path.parent.name for path in DOCKER.glob("*/submission.yaml"))


def test_there_are_submissions_to_check() -> None:
    """The tests below speak of the submissions that the benchmarks come with."""
    assert SUBMISSIONS == ["breast-us", "example", "lidc-malignancy", "sts-unet", "suv-threshold"]


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_the_image_is_the_one_that_the_build_script_makes(name: str) -> None:
    """`docker/build.sh NAME` and `submission.yaml` agree on name and image."""
    submission = load_submission(DOCKER / name)
    assert submission.name == name
    assert submission.image == f"localhost/tef-{name}:1"


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*/requirements.txt")), ids=lambda path: path.parent.name)
def test_every_package_is_pinned(path: Path) -> None:
    """What a submission installs is told by its file alone, not by the day it was built."""
    for line in path.read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line), line


def test_the_declared_training_images_are_the_train_split_and_hit_one_test_image() -> None:
    """The digests that `breast-us` declares find the one test image that stands in train too."""
    file = SHARED / "data" / "breastmnist" / "breastmnist.npz"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    declared = load_submission(DOCKER / "breast-us").declared_pixel_sha256()
    with np.load(file) as splits:
        assert declared == {pixel_sha256(image) for image in splits["train_images"]}
        assert sum(pixel_sha256(image) in declared for image in splits["test_images"]) == 1


def test_every_hostile_mode_ends_in_a_way_that_the_harness_knows() -> None:
    """The table of modes names failure codes that exist, and covers every one but a missing image."""
    spec = importlib.util.spec_from_file_location("hostile_model", DOCKER / "hostile" / "model.py")
    hostile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hostile)
    ends = {end for _, end in hostile.MODES.values()}
    assert ends == {"OK", *FailureCode} - {"IMAGE_UNAVAILABLE"}
    assert hostile.MISDEEDS.keys() <= hostile.MODES.keys()


def test_a_hostile_model_does_nothing_outside_its_image() -> None:
    """Started by mistake on a host, it ends with one line."""
    environment = os.environ | {"MODE": "never-ready"}
    process = subprocess.run(
        [sys.executable, str(DOCKER / "hostile" / "model.py")],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=10,
    )
    assert process.returncode == 1
    assert process.stderr == "hostile/model.py: runs in its image alone; docker/build.sh hostile-MODE builds one\n"


@pytest.mark.container
@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["nope"], {}, "docker/build.sh: nope: no such submission; there are breast-us example hostile-MODE"),
        ([], {}, "docker/build.sh: which submission? docker/build.sh NAME..."),
        (
            ["sts-unet"],
            {"SHARED": "/nowhere"},
            "docker/build.sh: sts-unet: /nowhere/data/sts-pet/model/sts_pet_unet.onnx is missing",
        ),
        (["example"], {"ENGINE": "nonesuch"}, "docker/engine.sh: no container engine (nonesuch) is installed"),
    ],
)
def test_a_build_that_cannot_be_says_why_in_one_line(arguments: list[str], environment: dict[str, str], message: str) -> None:
    """Unknown name, no name, missing shared file, missing engine."""
    process = subprocess.run(
        [str(DOCKER / "build.sh"), *arguments], capture_output=True, encoding="utf-8", env=os.environ | environment, timeout=300
    )
    assert process.returncode == 2
    assert process.stderr.startswith(message)
    assert process.stderr.count("\n") == 1

"""The real cohorts, where their data lie beside the project: known numbers come out of the whole line."""

import json
import statistics
import subprocess

import engines
import pytest
from support import SHARED
from test_end_to_end import TEF, Site

from tef.cohort import Cohort, load_cohort
from tef.run import load_run

pytestmark = [pytest.mark.container, pytest.mark.real, pytest.mark.usefixtures("podman_engine")]

if not SHARED.is_dir():
    pytestmark.append(pytest.mark.skip(reason=f"{SHARED} is absent: the real cohorts are not part of the project"))

STS = SHARED / "sts-pet"
TOLERANCE = 0.01


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Makes a real cohort with the command that users make it with."""

    def cohort(name, source) -> Cohort:
        folder = tmp_path_factory.mktemp("cohorts") / name
        subprocess.run([TEF, "cohort", name, "--source", source, "--out", folder], check=True, capture_output=True)
        return load_cohort(folder)

    return cohort


@pytest.fixture(scope="module")
def sts(cohort):
    """17 patients with soft-tissue sarcoma."""
    return cohort("sts-pet", STS)


def evaluated(benchmark, submission, cohort, runs_dir) -> Site:
    """The site of a finished run with two containers at a time."""
    engines.build("podman", submission)
    name = cohort.card["name"]
    site = Site(runs_dir, (f"site.cohorts.{name}={cohort.folder}", "executor.workers=2", "tracker=none"))
    done = site.tef("evaluate", benchmark, submission)
    assert done.stderr == ""
    assert f"{len(cohort)}/{len(cohort)} ok" in done.stdout
    return site


def overall(site, metric):
    """The whole cohort's estimate."""
    return next(e for e in site.report["estimates"] if e["metric"] == metric and e["subgroup"] is None)


@pytest.mark.parametrize(
    ("submission", "table"),
    [("sts-unet", "expected_dice_full_grid"), ("suv-threshold", "expected_dice_suv_threshold_41_percent_of_max")],
)
def test_every_patient_s_dice_is_the_published_one(submission, table, sts, tmp_path):
    """A network and a threshold whose Dice was computed elsewhere have it here too, patient by patient and on the whole."""
    import pyarrow.parquet as pq

    (path,) = STS.glob("model/*.json")
    expected = json.loads(path.read_text())[table]
    site = evaluated("sts-pet-gtv", submission, sts, tmp_path)
    patients = {case.case_id: case.patient_id for case in sts}
    rows = pq.read_table(site.run / "scores.parquet").to_pylist()
    dice = {patients[row["case_id"]]: row["value"] for row in rows if row["metric"] == "dice"}

    assert dice == pytest.approx(expected, abs=TOLERANCE)
    assert overall(site, "dice")["value"] == pytest.approx(statistics.mean(expected.values()), abs=TOLERANCE)
    assert overall(site, "dice")["n_used"] == overall(site, "dice")["n_total"] == len(expected) == 17


@pytest.fixture(scope="module")
def breast(cohort, tmp_path_factory):
    """The breast ultrasound cohort, and a site where its submission was evaluated."""
    held_out = cohort("breast-us", SHARED / "breastmnist")
    return held_out, evaluated("breast-us", "breast-us", held_out, tmp_path_factory.mktemp("runs"))


def test_the_one_test_image_that_stands_in_train_is_found(breast):
    """The image that the submitter declared to have trained on is named as an error, and no other."""
    import numpy as np

    from tef.cohort import pixel_sha256

    held_out, site = breast
    with np.load(SHARED / "breastmnist" / "breastmnist.npz") as splits:
        trained_on = {pixel_sha256(image) for image in splits["train_images"]}
    leaked = [load_run(site.run).token(case.case_id) for case in held_out if case.pixel_sha256 in trained_on]
    errors = [finding for finding in site.report["findings"] if finding["severity"] == "error"]

    assert [(finding["topic"], finding["cases"]) for finding in errors] == [("independence", leaked)]
    assert len(leaked) == 1


def test_auroc_is_what_scikit_learn_says(breast):
    """The reported probabilities against the cohort's own classes give the reported area, in another implementation."""
    from sklearn.metrics import roc_auc_score

    held_out, site = breast
    run = load_run(site.run)
    probability = {case["case"]: case["scores"]["probability"] for case in site.report["cases"]}
    classes = [case.reference["malignancy"] for case in held_out]
    expected = roc_auc_score(classes, [probability[run.token(case.case_id)] for case in held_out])

    assert overall(site, "auroc")["value"] == pytest.approx(expected, abs=1e-12)
    assert overall(site, "auroc")["n_used"] == len(held_out) == 156

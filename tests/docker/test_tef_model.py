"""The helper for model authors, run as the process that a container would run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HELPER = Path(__file__).parents[2] / "docker"
READY = {"tef": 1, "ready": True}


def talk(
    tmp_path: Path, model: str, cases: list[str], *arguments: str, before: str = "", call: str = "serve(predict)"
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, object]]]:
    """Run a model's source on cases; return the process and the protocol's objects on its standard output."""
    program = tmp_path / "predict.py"
    header = "import os, sys\nfrom pathlib import Path\nfrom tef_model import serve, serve_folder\n"
    program.write_text(f"{header}{before}\ndef predict(inputs):\n{model}\n\n{call}\n", encoding="utf-8")
    requests = []
    for case in cases:
        (tmp_path / "out" / case).mkdir(parents=True)
        paths = {"inputs": {"image": f"/input/{case}/image.png"}, "output": str(tmp_path / "out" / case)}
        requests.append(json.dumps({"tef": 1, "case": case, **paths}, ensure_ascii=False) + "\n")
    process = subprocess.run(
        [sys.executable, str(program), *arguments],
        input="".join(requests),
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(HELPER)},
        timeout=60,
    )
    return process, [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]


def test_cases_are_answered_in_turn_and_the_end_of_input_ends_the_model(tmp_path: Path) -> None:
    """Ready, then one answer per case with its file written, then exit 0."""
    process, answers = talk(tmp_path, "    return {'malignancy': 0.25}", ["a", "b"])
    assert process.returncode == 0
    assert answers == [READY, {"tef": 1, "case": "a", "status": "ok"}, {"tef": 1, "case": "b", "status": "ok"}]
    assert json.loads((tmp_path / "out/b/malignancy.json").read_text()) == {"probability": 0.25}


def test_the_model_gets_a_path_per_input_name(tmp_path: Path) -> None:
    """The inputs arrive as a dictionary of pathlib paths."""
    process, _ = talk(tmp_path, "    print(inputs)\n    return {}", ["a"])
    assert "{'image': PosixPath('/input/a/image.png')}" in process.stderr


def test_stray_prints_reach_the_log_and_not_the_protocol(tmp_path: Path) -> None:
    """Prints of Python, of native code and of child processes all end on standard error."""
    model = """
    print('{"tef": 1, "case": "a", "status": "error"}')
    sys.__stdout__.write("kept handle\\n")
    os.write(1, b"native code\\n")
    os.system("echo child process")
    return {"malignancy": 0.5}"""
    process, answers = talk(tmp_path, model, ["a"])
    assert answers == [READY, {"tef": 1, "case": "a", "status": "ok"}]
    assert process.stdout.strip().splitlines() == [json.dumps(answer) for answer in answers]
    for text in ("kept handle", "native code", "child process", '"status": "error"'):
        assert text in process.stderr


def test_a_line_left_open_while_loading_does_not_swallow_the_ready_line(tmp_path: Path) -> None:
    """A progress print without a line end before `serve` leaves the protocol readable."""
    _, answers = talk(tmp_path, "    return {}", ["a"], before="print('loading', end='')\nos.write(1, b'...')")
    assert answers == [READY, {"tef": 1, "case": "a", "status": "ok"}]


def test_a_model_that_reads_standard_input_finds_it_empty(tmp_path: Path) -> None:
    """The next case's line is not eaten by a model, or a child of it, that reads."""
    model = "    assert sys.stdin.read() == ''\n    os.system('cat')\n    return {}"
    _, answers = talk(tmp_path, model, ["a", "b"])
    assert [answer.get("status") for answer in answers] == [None, "ok", "ok"]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [("raise ValueError('voxel 812')", "ValueError"), ("raise MemoryError", "MemoryError"), ("{}['patient 7']", "KeyError")],
)
def test_an_error_names_its_type_and_place_and_the_next_case_is_served(tmp_path: Path, statement: str, kind: str) -> None:
    """The answer quotes no value, the log holds the traceback, and the process goes on."""
    model = f"    if 'a' in inputs['image'].parts:\n        {statement}\n    return {{}}"
    process, answers = talk(tmp_path, model, ["a", "b"])
    assert answers[1] == {"tef": 1, "case": "a", "status": "error", "message": f"{kind} at predict.py:7"}
    assert answers[2] == {"tef": 1, "case": "b", "status": "ok"}
    assert "Traceback" in process.stderr
    assert process.returncode == 0


def test_a_model_that_exits_ends_the_process(tmp_path: Path) -> None:
    """sys.exit is obeyed, so that the harness sees the exit status."""
    process, answers = talk(tmp_path, "    sys.exit(3)", ["a"])
    assert process.returncode == 3
    assert answers == [READY]


def test_names_beyond_ascii_survive(tmp_path: Path) -> None:
    """Case ids and paths are UTF-8 in both directions, whatever the locale."""
    _, answers = talk(tmp_path, "    return {'malignancy': 1}", ["fäll-Ω"])
    assert answers[1]["case"] == "fäll-Ω"
    assert (tmp_path / "out/fäll-Ω/malignancy.json").is_file()


@pytest.mark.parametrize("value", ["float('nan')", "1.7", "-0.1", "'text'", "[0.1, 0.2]"])
def test_a_value_that_is_no_output_is_an_error_of_that_case(tmp_path: Path, value: str) -> None:
    """Not a number, out of range, not a file: the case is answered with an error and no file is left."""
    _, answers = talk(tmp_path, f"    return {{'malignancy': {value}}}", ["a"])
    assert answers[1]["status"] == "error"
    assert list((tmp_path / "out/a").iterdir()) == []


def test_an_image_is_written_as_nifti_on_its_grid(tmp_path: Path) -> None:
    """A nibabel image becomes `<name>.nii.gz` with its affine."""
    import nibabel

    before = "import nibabel, numpy\nmask = nibabel.Nifti1Image(numpy.ones((2, 3, 4), 'uint8'), numpy.diag([2, 2, 3, 1]))"
    talk(tmp_path, "    return {'nodule': mask}", ["a"], before=before)
    image = nibabel.load(tmp_path / "out/a/nodule.nii.gz")
    assert image.shape == (2, 3, 4)
    assert np.array_equal(image.affine, np.diag([2, 2, 3, 1]))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".json"])
def test_a_file_is_moved_under_the_name_of_the_output(tmp_path: Path, suffix: str) -> None:
    """A path that the model wrote itself ends in the output folder with its suffix."""
    written = tmp_path / f"mine{suffix}"
    talk(tmp_path, f"    p = Path({str(written)!r})\n    p.write_bytes(b'x')\n    return {{'nodule': p}}", ["a"])
    assert (tmp_path / f"out/a/nodule{suffix}").read_bytes() == b"x"
    assert not written.exists()


def test_another_version_of_the_contract_ends_the_model_with_one_line(tmp_path: Path) -> None:
    """A harness that speaks a version unknown to the helper gets no wrong answers."""
    (tmp_path / "predict.py").write_text("from tef_model import serve\nserve(lambda inputs: {})\n")
    process = subprocess.run(
        [sys.executable, str(tmp_path / "predict.py")],
        input='{"tef": 2, "case": "a"}\n',
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(HELPER)},
        timeout=60,
    )
    assert process.returncode == 1
    assert process.stderr == "tef_model.py: speaks version 1 of the contract, was asked for 2\n"


def test_folder_serves_every_case_and_an_error_costs_only_its_own(tmp_path: Path) -> None:
    """All cases in, all outputs out, exit 0; the case that raised has no output."""
    for case in ("a", "b", "c"):
        (tmp_path / "in" / case / "ct").mkdir(parents=True)
        (tmp_path / "in" / case / "image.nii.gz").touch()
        (tmp_path / "out" / case).mkdir(parents=True)
    model = "    assert set(inputs) == {'ct', 'image'}\n    return {'malignancy': 1 / ('b' not in inputs['ct'].parts)}"
    process, _ = talk(
        tmp_path, model, [], call=f"serve_folder(predict, Path({str(tmp_path / 'in')!r}), Path({str(tmp_path / 'out')!r}))"
    )
    assert process.returncode == 0
    assert "ZeroDivisionError" in process.stderr
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json"))
    assert written == ["a/malignancy.json", "c/malignancy.json"]


def test_an_author_can_try_a_model_on_one_case(tmp_path: Path) -> None:
    """`--try` reads a folder of inputs and says what was written."""
    (tmp_path / "case").mkdir()
    (tmp_path / "case/image.png").touch()
    process, _ = talk(tmp_path, "    return {'malignancy': 0.5}", [], "--try", str(tmp_path / "case"), str(tmp_path / "result"))
    assert process.stdout == f"inputs image: wrote malignancy.json to {tmp_path / 'result'}\n"


def test_a_try_without_folders_says_what_is_wanted(tmp_path: Path) -> None:
    """A wrong call of `--try` ends with one line of usage."""
    process, _ = talk(tmp_path, "    return {}", [], "--try")
    assert process.returncode == 1
    assert process.stderr.startswith("usage: predict.py --try INPUT_FOLDER OUTPUT_FOLDER")

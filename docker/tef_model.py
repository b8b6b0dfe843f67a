"""Serve a model to `tef`: copy this one file into your image, write `predict`, call `serve(predict)`.

Needs Python 3.8 or later and nothing else.

    import nibabel
    from tef_model import serve

    model = load_my_model()                       # once, before the first case

    def predict(inputs):                          # once a case
        scan = nibabel.load(inputs["ct"])         # a path for each input that the benchmark names
        return {"nodule": model(scan)}            # a value for each output that the benchmark names

    if __name__ == "__main__":
        serve(predict)

An output may be given as

    a number                        written as {"probability": p}, 0 <= p <= 1
    an image with `to_filename`     written as NIfTI; nibabel's images have it
    a path                          of a .nii.gz, .nii or .json file that you wrote below /tmp; it is moved

Prints are harmless: what the model writes to standard output, from Python or from native code, goes to the log. If `predict`
raises, that case is answered with the error, and the next one is served.

Try it at home, on a folder that holds the input files of one case (`ct/` or `ct.nii.gz` and so on):

    python3 predict.py --try INPUT_FOLDER OUTPUT_FOLDER
"""

import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, Dict

VERSION = 1
Predict = Callable[[Dict[str, Path]], Dict[str, Any]]


def serve(predict: Predict) -> None:
    """Answer one case after another until standard input ends; contract `tef`.

    Args:
        predict: Gets a path per input name (for a DICOM series its folder), returns a value per output name.
    """
    if sys.argv[1:2] == ["--try"]:
        _try(predict, sys.argv[2:])
        return
    requests, answers = _take_over_stdin_and_stdout()

    def say(**message: Any) -> None:
        answers.write(json.dumps({"tef": VERSION, **message}) + "\n")
        answers.flush()

    answers.write("\n")  # ends a line that the model's own prints may have left open
    say(ready=True)
    for line in requests:
        request = json.loads(line)
        if request["tef"] != VERSION:
            raise SystemExit(f"tef_model.py: speaks version {VERSION} of the contract, was asked for {request['tef']}")
        try:
            inputs = {name: Path(path) for name, path in request["inputs"].items()}
            _write(predict(inputs), Path(request["output"]))
        except Exception as error:  # noqa: BLE001  whatever a model raises is its answer to this case
            traceback.print_exc()
            say(case=request["case"], status="error", message=_where(error))
        else:
            say(case=request["case"], status="ok")


def serve_folder(predict: Predict, input_root: Path = Path("/input"), output_root: Path = Path("/output")) -> None:
    """Answer all cases in one go; contract `folder`: a folder of inputs and a folder for outputs per case.

    A case for which `predict` raises is left without output, with the traceback in the log.
    """
    for case in sorted(input_root.iterdir()):
        try:
            _write(predict(_inputs(case)), output_root / case.name)
        except Exception:  # noqa: BLE001  one case's error must not cost the others
            traceback.print_exc()


def _take_over_stdin_and_stdout() -> Any:
    """Keep both for the contract alone; whatever else reads finds the end, whatever else prints goes to standard error."""
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, answers


def _write(outputs: Dict[str, Any], folder: Path) -> None:
    for name, value in outputs.items():
        if isinstance(value, (str, Path)):
            suffix = next((s for s in (".nii.gz", ".nii", ".json") if str(value).endswith(s)), None)
            if suffix is None:
                raise ValueError(f"output {name}: {value} is no .nii.gz, .nii or .json file")
            shutil.move(str(value), str(folder / (name + suffix)))
        elif hasattr(value, "to_filename"):
            value.to_filename(str(folder / (name + ".nii.gz")))
        else:
            probability = float(value)
            if not 0 <= probability <= 1:
                raise ValueError(f"output {name}: {probability} is not a probability from 0 to 1")
            (folder / (name + ".json")).write_text(json.dumps({"probability": probability}), encoding="utf-8")


def _where(error: Exception) -> str:
    """Type and place of an error; never its text, which may quote what the model saw."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "-packages" not in frame.filename]
    last = (own or frames)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def _inputs(case: Path) -> Dict[str, Path]:
    """Input name to path: `ct` for the folder `ct/`, the file `ct.nii.gz`, `ct.nii` or `ct.png`."""
    return {path.name.split(".")[0]: path for path in sorted(case.iterdir())}


def _try(predict: Predict, arguments: "list[str]") -> None:
    if len(arguments) != 2 or not Path(arguments[0]).is_dir():
        raise SystemExit("usage: predict.py --try INPUT_FOLDER OUTPUT_FOLDER, the first with the input files of one case")
    inputs, folder = _inputs(Path(arguments[0])), Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    _write(predict(inputs), folder)
    print(f"inputs {', '.join(inputs)}: wrote {', '.join(sorted(path.name for path in folder.iterdir()))} to {folder}")


__all__ = ["serve", "serve_folder"]

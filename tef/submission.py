"""A submission: a model as a container image, with what its maker declares about it."""

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, ValidationError

from tef.benchmark import Frozen, Name, explain, read_yaml
from tef.errors import SubmissionError

_MAX_PIXEL_BYTES = 64 * 1024 * 1024


def _printable(text: str) -> str:
    if any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in text):
        raise ValueError("holds a control character; write plain text")
    return text


Prose = Annotated[str, Field(max_length=4000), AfterValidator(_printable)]


class Resources(Frozen):
    """What the model asks for; the protocol's limits hold all the same."""

    gpus: Annotated[int, Field(ge=0)]
    memory_mb: PositiveInt


class TrainingData(Frozen):
    """What the model was trained on.

    `pixel_sha256_file` names a text file beside the submission's, one digest (of ``tef hash``) a line, of every training
    image; the harness looks for them in the held-out cohort.
    """

    description: Prose
    pixel_sha256_file: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")] | None = None


class Submission(Frozen):
    """``submission.yaml``, read as data only: nothing in it is ever executed or imported.

    `digest` is the image's id or repository digest (``sha256:...``). Where it is absent, the image that the reference names
    when the run begins is pinned and recorded.
    """

    schema_version: Literal[1]
    name: Annotated[Name, Field(max_length=64)]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$")]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    contract: Literal["tef", "folder"]
    resources: Resources
    intended_use: Prose
    training_data: TrainingData
    contact: Prose | None = None
    sha256: str = Field(default="", exclude=True)
    file: Path = Field(default=Path(), exclude=True)

    @property
    def folder(self) -> Path:
        """Where the submission's own files lie."""
        return self.file.parent

    def declared_pixel_sha256(self) -> frozenset[str] | None:
        """Digests of the declared training images, or None where none were declared.

        Raises:
            SubmissionError: The file is missing or too large, or a line is not a digest.
        """
        name = self.training_data.pixel_sha256_file
        if name is None:
            return None
        path = self.folder / name
        if not path.is_file():
            raise SubmissionError(
                f"submission {self.name}: training_data.pixel_sha256_file: {name} is not beside submission.yaml"
            )
        with path.open("rb") as stream:
            content = stream.read(_MAX_PIXEL_BYTES + 1)
        if len(content) > _MAX_PIXEL_BYTES:
            raise SubmissionError(
                f"submission {self.name}: {name}: is larger than {_MAX_PIXEL_BYTES >> 20} MiB; it holds a digest for each image"
            )
        digests = set()
        for number, line in enumerate(content.splitlines(), start=1):
            digest = line.strip()
            if digest and not re.fullmatch(rb"[0-9a-f]{64}", digest):
                raise SubmissionError(
                    f"submission {self.name}: {name}:{number}: is not a digest; 'tef hash' prints them, one a line"
                )
            if digest:
                digests.add(digest.decode())
        return frozenset(digests)


def load_submission(path: Path) -> Submission:
    """Read a submission from its folder or its YAML file.

    Raises:
        SubmissionError: The file is missing or not as described; the message names file and key.
    """
    file = path / "submission.yaml" if path.is_dir() else path
    if not file.is_file():
        raise SubmissionError(f"{file}: is missing; docker/example holds a complete submission to copy")
    content, values = read_yaml(file, SubmissionError)
    if reserved := values.keys() & {"sha256", "file"}:
        raise SubmissionError(f"{file}: {min(reserved)}: is computed, not given; remove the line")
    identity = {"sha256": hashlib.sha256(content).hexdigest(), "file": file}
    try:
        return Submission.model_validate(values | identity)
    except ValidationError as error:
        raise SubmissionError(f"{file}: {explain(error, Submission)}") from error

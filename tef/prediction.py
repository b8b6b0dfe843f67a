"""How a case ends: as a Prediction or as a Failure, never as both and never as neither."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    """Why a case has no prediction. A submitter is told the code and no more."""

    TIMEOUT = "TIMEOUT"
    OOM_KILLED = "OOM_KILLED"
    NONZERO_EXIT = "NONZERO_EXIT"
    MODEL_ERROR = "MODEL_ERROR"
    NO_OUTPUT = "NO_OUTPUT"
    MALFORMED_OUTPUT = "MALFORMED_OUTPUT"
    WRONG_GEOMETRY = "WRONG_GEOMETRY"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    IMAGE_UNAVAILABLE = "IMAGE_UNAVAILABLE"
    STARTUP_FAILED = "STARTUP_FAILED"


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file that the model returned, as kept in the run folder.

    Attributes:
        path: Path relative to the run folder.
        sha256: Hexadecimal digest of the file's bytes.
        size_bytes: Size of the file.
    """

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outputs of one case, complete and readable.

    Attributes:
        case_id: The cohort's id of the case.
        outputs: Output name of the interface to the file that was returned.
        model_s: Seconds between handing the case to the model and its answer.
        total_s: The same, with the harness's own work before and after.
    """

    case_id: str
    outputs: Mapping[str, OutputFile]
    model_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A case without a usable prediction; it stays in the denominator.

    Attributes:
        case_id: The cohort's id of the case.
        code: What the submitter is told.
        stage: ``start``, ``predict`` or ``collect``.
        message: For the operator only: it may quote the container.
        total_s: Seconds spent on the case.
    """

    case_id: str
    code: FailureCode
    stage: str
    message: str
    total_s: float


Outcome = Prediction | Failure

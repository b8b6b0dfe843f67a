"""A benchmark: what is asked of a model and how the answer is judged, fixed before any model is run.

One folder, ``<name>/protocol.yaml`` and its card ``<name>/README.md``. A protocol is plain values: Hydra never sees it and
no override reaches it. Its identity is the sha256 of its bytes.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from tef.errors import ProtocolError, nearest, plain

_MAX_BYTES = 64 * 1024
_MAX_DEPTH = 16
_MAX_BITS = 63
_SHOWN_SIGNS = 80

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$")]


class Frozen(BaseModel):
    """A record from a file that people write: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CohortRef(Frozen):
    """Which cohort, to the byte; where it lies is the site's affair."""

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Input(Frozen):
    """One file, or one folder of a DICOM series, that the model is given for each case."""

    kind: Literal["nifti", "dicom-series", "png"]
    description: str


class Output(Frozen):
    """What the model must return for each case.

    ``mask``: a NIfTI file ``<name>.nii.gz`` (or ``.nii``) on the grid of the input, 0 outside and 1 inside.
    ``probability``: a JSON file ``<name>.json`` that holds ``{"probability": p}`` with 0 <= p <= 1.
    """

    kind: Literal["mask", "probability"]
    description: str

    def file_names(self, name: str) -> tuple[str, ...]:
        """The names that the file of the output ``name`` may have; exactly one of them is returned."""
        return (f"{name}.nii.gz", f"{name}.nii") if self.kind == "mask" else (f"{name}.json",)


class Interface(Frozen):
    """The inputs and the one output, by name; file names in the container are made from the names."""

    inputs: Annotated[Mapping[Name, Input], Field(min_length=1)]
    outputs: Annotated[Mapping[Name, Output], Field(min_length=1, max_length=1)]


class Subgroup(Frozen):
    """Cases grouped by an attribute of the cohort: by its values, or cut into bands at `cuts`."""

    name: str
    attribute: str
    cuts: tuple[float, ...] | None = None
    unit: str | None = None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.cuts is not None and (not self.cuts or list(self.cuts) != sorted(set(self.cuts))):
            raise ValueError("cuts must be ascending and different")
        return self


class Criterion(Frozen):
    """An acceptance bound. It is held against the interval: the whole interval must lie on the good side."""

    metric: Name
    subgroup: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self


class Interval(Frozen):
    """How uncertainty is computed: patient-clustered bootstrap, percentile interval."""

    level: Annotated[float, Field(gt=0.5, lt=1)]
    replicates: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0)]


class Limits(Frozen):
    """What a container may use; nothing here has a default, and nothing means "unlimited"."""

    memory_mb: PositiveInt
    shm_mb: PositiveInt
    tmp_mb: PositiveInt
    cpus: PositiveFloat
    pids: PositiveInt
    open_files: PositiveInt
    startup_timeout_s: PositiveFloat
    case_timeout_s: PositiveFloat
    output_mb: PositiveFloat
    log_mb: PositiveFloat


class Benchmark(Frozen):
    """A protocol as read from its file.

    `metrics` holds, per metric, its name and every argument; `tef.metrics` checks them, so that this module need not know any.
    """

    schema_version: Literal[1]
    name: Name
    version: PositiveInt
    title: str
    question: str
    task: Literal["segmentation", "classification"]
    cohort: CohortRef
    interface: Interface
    reference_standard: str
    metrics: Annotated[tuple[Mapping[str, Any], ...], Field(min_length=1)]
    primary: Name
    operating_point: Annotated[float, Field(ge=0, le=1)] | None = None
    subgroups: tuple[Subgroup, ...]
    min_subgroup_patients: PositiveInt
    acceptance: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    on_failure: Literal["worst", "exclude"]
    interval: Interval
    limits: Limits
    sha256: str = Field(default="", exclude=True)
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def output(self) -> str:
        """Name of the one output."""
        return next(iter(self.interface.outputs))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kind = self.interface.outputs[self.output].kind
        if (self.task == "segmentation") != (kind == "mask"):
            raise ValueError(f"a {self.task} benchmark cannot have an output of kind {kind}")
        if (self.task == "classification") != (self.operating_point is not None):
            raise ValueError("operating_point is required for classification and only there")
        groups = {group.name for group in self.subgroups}
        if len(groups) != len(self.subgroups):
            raise ValueError("two subgroups have the same name")
        return self


def load_benchmark(folder: Path) -> Benchmark:
    """Read ``folder/protocol.yaml``.

    Raises:
        ProtocolError: The file is missing or not as described; the message names file and key.
    """
    path = folder / "protocol.yaml"
    if not path.is_file():
        raise ProtocolError(f"{path}: is missing; a benchmark is a folder with protocol.yaml and README.md")
    content, values = read_yaml(path, ProtocolError)
    if reserved := values.keys() & {"sha256", "folder"}:
        raise ProtocolError(f"{path}: {min(reserved)}: is computed, not given; remove the line")
    identity = {"sha256": hashlib.sha256(content).hexdigest(), "folder": folder}
    try:
        benchmark = Benchmark.model_validate(values | identity)
    except ValidationError as error:
        raise ProtocolError(f"{path}: {explain(error, Benchmark)}") from error
    if benchmark.name != folder.resolve().name:
        raise ProtocolError(f"{path}: name: is '{benchmark.name}'; it must be the folder's name '{folder.resolve().name}'")
    return benchmark


class _PlainLoader(yaml.SafeLoader):
    """YAML that means what it looks like: no anchors, tags, merges, second values for a key, or piles of brackets."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="anchors, aliases and tags are not allowed; write out what is meant", problem_mark=event.start_mark
            )
        if self._depth >= _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"is nested more than {_MAX_DEPTH} deep", problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                shown = f"'{key.value}'" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise yaml.MarkedYAMLError(problem=f"{shown} cannot be a key; keys are words", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value}' stands here twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise yaml.MarkedYAMLError(problem="a number is too large", problem_mark=node.start_mark)
        return value


def read_yaml(path: Path, error_type: type[Exception]) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a file of a stranger's, and the YAML mapping that they are, or ``error_type`` with file and line."""
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise error_type(f"{path}: is larger than {_MAX_BYTES // 1024} KiB; describe, and leave data to other files")
    try:
        text = content.decode("utf-8")
        values = yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader that is stricter still
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise error_type(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from error
    except yaml.reader.ReaderError as error:
        line, sign = text.count("\n", 0, error.position) + 1, f"U+{error.character:04X}"
        raise error_type(f"{path}:{line}: holds the sign {sign}, which YAML does not allow; remove it") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise error_type(f"{path}:{line}: is not YAML as it is read here: {_shown(str(error.problem))}") from error
    if not isinstance(values, dict):
        raise error_type(f"{path}: holds no 'key: value' lines; see docker/example and benchmarks/ for complete files")
    return content, values


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first thing that is wrong, as ``key.subkey: what; did you mean ...``, and how many more there are.

    Args:
        model: What was validated; with it, an unknown key is answered with those that are known.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    key = _shown(".".join(str(part) for part in first["loc"]))
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        text = "unknown key"
        parent: Any = model
        for part in first["loc"][:-1]:
            parent = _field_model(parent, part)
        if parent:
            text += f"; {nearest(str(first['loc'][-1]), (field.alias or name for name, field in parent.model_fields.items()))}"
    elif first["type"] == "missing":
        text = "is missing; it has no default"
    elif not isinstance(first["input"], dict | list):
        text += f" (got {_shown(repr(first['input']))})"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{key}: {text}{more}" if key else f"{text}{more}"


def _shown(text: str) -> str:
    """As much of a stranger's text as an error's one line can take."""
    return plain(text if len(text) <= _SHOWN_SIGNS else f"{text[:_SHOWN_SIGNS]}...")


def _field_model(model: Any, part: str | int) -> Any:
    """The pydantic model behind a field, or None where the path leads elsewhere."""
    from typing import get_args

    if model is None or isinstance(part, int):
        return model
    field = getattr(model, "model_fields", {}).get(part)
    if field is None:
        return model if part not in getattr(model, "model_fields", {}) else None
    stack = [field.annotation]
    while stack:
        found = stack.pop()
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
        stack.extend(get_args(found))
    return None

"""How and where this site runs: the only module that knows Hydra.

Configuration is composed from ``configs/`` and ``key=value`` overrides, checked, and built into plain objects. ``_target_``
may name only what a plugin package lists in ``__all__``; no benchmark and nothing of a submitter's ever comes here.
"""

import difflib
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tef.benchmark import explain
from tef.errors import ConfigError

_PLUGINS = {"runtime": "tef.runtimes", "executor": "tef.executors", "tracker": "tef.trackers"}
_PLAIN = re.compile(r"[\w./:-]+|\[.*\]|\{.*\}")


class Site(BaseModel):
    """Where this site keeps things; every path is relative to where ``tef`` is started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cohorts_dir: Path
    cohorts: Mapping[str, Path]
    runs_dir: Path
    submissions_dir: Path
    benchmarks_dir: Path | None

    def cohort(self, name: str) -> Path:
        """The folder of a cohort."""
        return self.cohorts.get(name, self.cohorts_dir / name)

    @property
    def benchmarks(self) -> Path:
        """The folder of the benchmarks."""
        return self.benchmarks_dir if self.benchmarks_dir is not None else packaged("benchmarks")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was composed, built.

    Attributes:
        runtime, executor, tracker: Built from their groups.
        resolved: The composition as YAML text, for the record.
        overrides: As given.
    """

    site: Site
    runtime: Any
    executor: Any
    tracker: Any
    resolved: str
    overrides: tuple[str, ...]


def configure(overrides: Sequence[str], config_dir: Path | None = None) -> Configuration:
    """Compose, check and build this site's configuration.

    Args:
        overrides: ``key=value``, such as ``runtime=docker`` or ``executor.workers=4``.
        config_dir: A folder of the site's own with more choices for the groups, such as ``site/hospital.yaml``.

    Raises:
        ConfigError: An override or a file is wrong; the message names it and the nearest name that exists.
    """
    from omegaconf import OmegaConf

    composed = _compose(overrides, config_dir)
    values = OmegaConf.to_container(composed, resolve=True)
    if not isinstance(values, dict):
        raise ConfigError("configs/evaluate.yaml: holds no 'key: value' lines; restore it")
    try:
        site = Site.model_validate(values["site"])
    except ValidationError as error:
        raise ConfigError(f"site.{explain(error, Site)}") from error
    built = {group: _build(group, composed[group]) for group in _PLUGINS}
    return Configuration(site=site, resolved=OmegaConf.to_yaml(composed, resolve=True), overrides=tuple(overrides), **built)


def packaged(name: str) -> Path:
    """A folder that comes with ``tef``: inside the installed package, else in the checkout."""
    inside = Path(__file__).parent / f"_{name}"
    return inside if inside.is_dir() else Path(__file__).parent.parent / name


def _compose(overrides: Sequence[str], config_dir: Path | None) -> Any:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    search = [f"hydra.searchpath=[{config_dir.resolve().as_uri()}]"] if config_dir else []
    pairs = [_pair(override) for override in overrides]
    folders = [packaged("configs")] + ([config_dir] if config_dir else [])
    for key, value in pairs:
        _check_choice(key, value, folders)
    chosen = [f"{key}={value}" for key, value in pairs if key in (*_PLUGINS, "site")]
    with initialize_config_dir(version_base="1.3", config_dir=str(packaged("configs").resolve())):
        try:
            known = compose("evaluate", [*search, *chosen])
            for key, _ in pairs:
                _check_key(key, OmegaConf.to_container(known, resolve=False))
            return compose("evaluate", [*search, *(_quoted(key, value) for key, value in pairs)])
        except (HydraException, OmegaConfBaseException) as error:
            first = str(error).strip().splitlines()[0]
            raise ConfigError(f"configuration: {first}; see configs/ for what there is") from error


def _pair(override: str) -> tuple[str, str]:
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", key):
        raise ConfigError(f"override '{override}': is not of the form key=value; such as executor.workers=2")
    return key, value


def _quoted(key: str, value: str) -> str:
    prefix = "++" if key.startswith("site.cohorts.") else ""
    if value == "" or _PLAIN.fullmatch(value):
        return f"{prefix}{key}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{prefix}{key}='{escaped}'"


def _check_choice(key: str, value: str, folders: Sequence[Path]) -> None:
    if key not in (*_PLUGINS, "site"):
        return
    choices = sorted({path.stem for folder in folders for path in (folder / key).glob("*.yaml")})
    if value not in choices:
        raise ConfigError(f"override '{key}={value}': there is no such {key}; {_nearest(value, choices)}")


def _check_key(key: str, known: Any) -> None:
    if key in (*_PLUGINS, "site") or re.fullmatch(r"site\.cohorts\.[\w-]+", key):
        return
    keys = sorted(_flat(known))
    if key not in keys:
        raise ConfigError(f"override '{key}': there is no such key; {_nearest(key, keys)}")


def _flat(values: Any, prefix: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        if key == "_target_":
            continue
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append(prefix + key)
    return found


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"


def _build(group: str, config: Any) -> Any:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    package = _PLUGINS[group]
    target = str(config.get("_target_", ""))
    allowed = importlib.import_module(package).__all__
    if target.rpartition(".")[0] != package or target.rpartition(".")[2] not in allowed:
        names = ", ".join(f"{package}.{name}" for name in allowed)
        raise ConfigError(f"{group}._target_: '{target}' is not allowed; allowed are {names}")
    try:
        return instantiate(config, _convert_="object")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause from error
        if isinstance(cause, ValidationError):
            first = cause.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"{group}.{key}: {first['msg']} (got {first['input']!r})") from error
        raise ConfigError(f"{group}: {str(error).splitlines()[0]}") from error

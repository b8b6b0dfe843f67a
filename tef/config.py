"""How and where this site runs: the only module that knows Hydra.

Configuration is composed from ``configs/`` and ``key=value`` overrides, checked, and built into plain objects. ``_target_``
may name only what a plugin package lists in ``__all__``; no benchmark and nothing of a submitter's ever comes here.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tef.benchmark import explain
from tef.errors import ConfigError, nearest

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
        """The folder of the benchmarks.

        Raises:
            ConfigError: It does not exist.
        """
        return _existing(self.benchmarks_dir or packaged("benchmarks"), "site.benchmarks_dir")

    @property
    def submissions(self) -> Path:
        """The folder of the submissions. A site that names each submission by its path needs none.

        Raises:
            ConfigError: It does not exist.
        """
        return _existing(self.submissions_dir, "site.submissions_dir")


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
    from omegaconf.errors import OmegaConfBaseException

    composed = _compose(overrides, config_dir)
    try:
        values: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {_first_line(error)}; give it a value") from error
    for group in (*_PLUGINS, "site"):
        if not isinstance(values.get(group), dict):
            raise ConfigError(f"{group}: holds no 'key: value' lines; configs/{group}/ has complete files")
        _refuse_reserved(values[group], group, allowed="_target_" if group in _PLUGINS else "")
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

    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir}: there is no such folder; name one that holds groups such as site/")
    search = [f"hydra.searchpath=[{_as_text(f'file://{config_dir.resolve()}')}]"] if config_dir else []
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
            raise ConfigError(f"configuration: {_first_line(error)}; see configs/ for what there is") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"configuration: is not YAML: {' '.join(str(error).split())}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"--config-dir {config_dir}: holds a file that is not UTF-8; save it as UTF-8") from error


def _pair(override: str) -> tuple[str, str]:
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.-]*", key):
        raise ConfigError(f"override '{override}': is not of the form key=value; such as executor.workers=2")
    return key, value


def _quoted(key: str, value: str) -> str:
    prefix = "++" if key.startswith("site.cohorts.") else ""
    if value == "" or _PLAIN.fullmatch(value):
        return f"{prefix}{key}={value}"
    return f"{prefix}{key}={_as_text(value)}"


def _as_text(value: str) -> str:
    """As Hydra's grammar takes a text that is to mean nothing but itself."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _check_choice(key: str, value: str, folders: Sequence[Path]) -> None:
    if key not in (*_PLUGINS, "site"):
        return
    choices = sorted({path.stem for folder in folders for path in (folder / key).glob("*.yaml")})
    if value not in choices:
        raise ConfigError(f"override '{key}={value}': there is no such {key}; {nearest(value, choices)}")


def _check_key(key: str, known: Any) -> None:
    if key in (*_PLUGINS, "site") or re.fullmatch(r"site\.cohorts\.[\w-]+", key):
        return
    keys = sorted(_flat(known))
    if key not in keys:
        raise ConfigError(f"override '{key}': there is no such key; {nearest(key, keys)}")


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


def _refuse_reserved(values: Any, where: str, allowed: str = "") -> None:
    """Keys that begin with ``_`` are orders to Hydra; the one at the top of a plugin's group is checked by itself."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if str(key).startswith("_") and key != allowed:
            raise ConfigError(f"{where}.{key}: is not allowed; only runtime, executor and tracker have a _target_, at the top")
        if isinstance(value, dict | list):
            _refuse_reserved(value, f"{where}.{key}")


def _existing(folder: Path, key: str) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{key}: the folder {folder} does not exist; make it, or name another with {key}=...")
    return folder


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


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
        return instantiate(config, _convert_="object", _recursive_=False)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause from error
        if isinstance(cause, ValidationError):
            raise ConfigError(f"{group}.{explain(cause)}") from error
        raise ConfigError(f"{group}: {_first_line(cause if isinstance(cause, Exception) else error)}") from error

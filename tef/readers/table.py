"""Outputs that are one number: a probability in a small JSON file."""

import json
from pathlib import Path
from typing import Any, NoReturn

from tef.readers.base import UnreadableOutput

_MAX_BYTES = 64 * 1024
_FORM = '{"probability": p} with 0 <= p <= 1'


def read_probability(path: Path) -> float:
    """Read ``{"probability": p}``.

    Raises:
        UnreadableOutput: The file is too large, is not JSON, or holds anything but one number from 0 to 1.
    """
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise UnreadableOutput(f"{path.name}: is larger than {_MAX_BYTES} bytes; {_FORM}")
    try:
        value = json.loads(content, parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise UnreadableOutput(f"{path.name}: is not JSON ({error}); {_FORM}") from error
    if not isinstance(value, dict) or value.keys() != {"probability"}:
        found = (
            f"the keys {', '.join(map(repr, sorted(value)))[:200] or 'none'}"
            if isinstance(value, dict)
            else f"a {_kind(value)}"
        )
        raise UnreadableOutput(f"{path.name}: holds {found}; {_FORM}")
    probability = value["probability"]
    if isinstance(probability, bool) or not isinstance(probability, int | float):
        raise UnreadableOutput(f"{path.name}: probability is a {_kind(probability)}; {_FORM}")
    if not 0 <= probability <= 1:
        raise UnreadableOutput(f"{path.name}: probability is {str(probability)[:40]}; {_FORM}")
    return float(probability)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _kind(value: object) -> str:
    names = {dict: "mapping", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")

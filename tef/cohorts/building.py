"""Building a cohort under a temporary name, so that a killed build never leaves half a cohort under the final one."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tef.cohort import Case, Cohort, load_cohort, write_cohort
from tef.errors import CohortError

Fill = Callable[[Path], tuple[Mapping[str, Any], Sequence[Case]]]


def build(out: Path, fill: Fill) -> Cohort:
    """Let ``fill`` write the files of a cohort, seal them and give the folder its final name.

    Args:
        out: Where the cohort will lie; must not exist.
        fill: Is given an empty folder, writes inputs and references into it, and returns the card and the cases.

    Raises:
        CohortError: ``out`` exists already, or what ``fill`` wrote is not a cohort.
    """
    if out.exists():
        raise CohortError(f"{out}: exists already; remove it to build it anew, or choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        card, cases = fill(folder)
        write_cohort(folder, card, cases)
        folder.rename(out)
    return load_cohort(out)

"""No tracker: the run folder is the record."""

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from tef.report import Report
from tef.run import Run


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Nowhere:
    """Tells nobody."""

    def track(self, run: Run, report: Report) -> str | None:
        """Do nothing, and say that the run is tracked nowhere."""
        return None

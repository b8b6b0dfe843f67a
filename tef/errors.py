"""The errors that ``tef`` raises, each named by who has to act.

TefError
├── ProtocolError    the author of a benchmark
├── CohortError      the holder of the data
├── ConfigError      the operator of this site
├── RunError         the operator, about a folder of an earlier run
└── SubmissionError  the submitter; the only text that a submitter may be shown

Every message has the form ``where: what is wrong; what would be right``.
"""

import difflib
import unicodedata
from collections.abc import Iterable

_SPACES = str.maketrans("\t\n\r", "   ")
# Unicode's marks that turn the direction of writing: with them, a line can read other than it is.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class TefError(Exception):
    """Never raised directly; catch it to catch every error that ``tef`` expects."""


class ProtocolError(TefError):
    """A benchmark's protocol is wrong, or is not the one that was announced."""


class CohortError(TefError):
    """A cohort is missing, changed or does not hold what the protocol asks for."""


class ConfigError(TefError):
    """This site's configuration or machine cannot do what is asked."""


class RunError(TefError):
    """A run folder is damaged, in use, or cannot serve the command given."""


class SubmissionError(TefError):
    """A submission cannot be evaluated; the text holds no case id, path or pixel of the held-out data.

    Attributes:
        code: The failure code, such as ``IMAGE_UNAVAILABLE``, or None where the submission's file is wrong.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean 'docker'?``, or all that is known where nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known) or 'none'}"


def plain(text: str) -> str:
    """A stranger's text for one line of a terminal: what would steer it, such as escape sequences, becomes ``?``."""
    return "".join("?" if _steers(sign) else sign for sign in text.translate(_SPACES))


def _steers(sign: str) -> bool:
    return sign in _TURNING or unicodedata.category(sign) in ("Cc", "Cs")

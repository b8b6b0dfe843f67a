"""The errors that ``tef`` raises, each named by who has to act.

TefError
├── ProtocolError    the author of a benchmark
├── CohortError      the holder of the data
├── ConfigError      the operator of this site
├── RunError         the operator, about a folder of an earlier run
└── SubmissionError  the submitter; the only text that a submitter may be shown

Every message has the form ``where: what is wrong; what would be right``.
"""


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

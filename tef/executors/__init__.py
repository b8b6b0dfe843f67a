"""Where cases are run: each maps the work over the cases and yields outcomes as they come."""

from tef.executors.local import Local

__all__ = ["Local"]

"""Container engines: each starts a container that holds a stranger's code, enforces its limits and says why it ended."""

from tef.runtimes.engine import Docker, Podman, available

__all__ = ["Docker", "Podman", "available"]

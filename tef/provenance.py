"""What a number may depend on besides its inputs: code, packages, machine."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import tef

_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "nibabel",
    "pydicom",
    "mlflow",
    "hydra-core",
    "pydantic",
    "pyarrow",
    "matplotlib",
)


def versions() -> dict[str, Any]:
    """What computes the numbers: ``tef``, Python and the packages."""
    packages = {name: metadata.version(name) for name in _PACKAGES}
    return {"tef": tef.__version__, "python": platform.python_version(), "packages": packages}


def provenance() -> dict[str, Any]:
    """Versions, commit and machine, for the record."""
    import psutil

    return versions() | {
        "code": _commit(Path(__file__).parent),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // (1024 * 1024),
        "gpus": _gpus(),
    }


def _commit(folder: Path) -> dict[str, Any] | None:
    """Commit and state of the checkout that this code runs from, or None where it is installed from a package."""
    if not (folder.parent / ".git").exists() or shutil.which("git") is None:
        return None
    git = ("git", "-C", str(folder.parent))
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode != 0:
        return None
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    return {"commit": head.stdout.strip(), "dirty": bool(changed.stdout.strip())}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpus() -> list[str]:
    """Name, memory and driver of each NVIDIA GPU of this host."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    told = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    return told.stdout.strip().splitlines() if told.returncode == 0 else []

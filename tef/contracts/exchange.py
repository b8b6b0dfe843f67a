"""The folders that a container sees: what goes in is a copy without a name, what comes out is treated as an attack."""

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

from tef.benchmark import Benchmark
from tef.cohort import Case
from tef.contracts.base import CaseFailed
from tef.errors import CohortError
from tef.prediction import FailureCode, OutputFile
from tef.run import Run, fsync_folder

MAX_FILES = 1000
_CHUNK = 1024 * 1024


def lay_inputs(case: Case, benchmark: Benchmark, folder: Path) -> dict[str, str]:
    """Copy a case's inputs under neutral names into ``folder``, readable by all and dated 1970.

    Returns:
        Interface name to the path of the file or folder, relative to ``folder``.

    Raises:
        CohortError: The case lacks an input that the protocol names.
    """
    folder.mkdir()
    laid = {}
    for name, wanted in benchmark.interface.inputs.items():
        source = case.inputs.get(name)
        if source is None:
            raise CohortError(f"case {case.case_id}: has no input '{name}'; the protocol asks for it")
        if wanted.kind == "dicom-series":
            target = folder / name
            target.mkdir()
            for number, file in enumerate(sorted(p for p in source.iterdir() if p.is_file()), start=1):
                _copy_neutral(file, target / f"{number:05d}.dcm")
            _neutral(target, 0o755)
        else:
            target = folder / (name + _suffix(source))
            _copy_neutral(source, target)
        laid[name] = target.name
    _neutral(folder, 0o755)
    return laid


def make_output(folder: Path) -> None:
    """An empty folder that the container's user may write to; its parent keeps the host's other users out."""
    folder.mkdir()
    folder.chmod(0o777)


def empty(folder: Path) -> None:
    """Remove everything in a folder, and keep the folder, which a container has mounted."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def check_size(folder: Path, limit_mb: float, max_files: int = MAX_FILES) -> None:
    """Raise CaseFailed where a container has written more than it may; follows no link, and tolerates files that vanish."""
    size, count = 0, 0
    pending = [str(folder)]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except FileNotFoundError:
            continue
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            count += 1
            if stat.S_ISDIR(info.st_mode):
                pending.append(entry.path)
            else:
                # Sparse files cost no disk but would when they are copied; blocks count what a file with holes hides.
                size += max(info.st_size, info.st_blocks * 512)
            if size > limit_mb * 1024 * 1024 or count > max_files:
                raise CaseFailed(
                    FailureCode.OUTPUT_TOO_LARGE, "predict", f"wrote more than {limit_mb:g} MB or more than {max_files} files"
                )


def collect(case: Case, benchmark: Benchmark, run: Run, folder: Path) -> dict[str, OutputFile]:
    """Move the declared outputs from a container's folder to the run's predictions, on disk to stay.

    Nothing else of the folder is ever opened: no link is followed, only regular files are read, at most to the limit.

    Raises:
        CaseFailed: An output is missing, is no regular file, or is too large.
    """
    check_size(folder, benchmark.limits.output_mb)
    target = run.prediction(case.case_id)
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    outputs = {}
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for name, wanted in benchmark.interface.outputs.items():
            present = [file for file in wanted.file_names(name) if _there(handle, file)]
            if len(present) != 1:
                what = f"both {present[0]} and {present[1]}" if present else f"no {' or '.join(wanted.file_names(name))}"
                code = FailureCode.MALFORMED_OUTPUT if present else FailureCode.NO_OUTPUT
                raise CaseFailed(code, "collect", f"{what} in the output folder; exactly one is expected")
            outputs[name] = _take(handle, present[0], target / present[0], run, benchmark.limits.output_mb)
    finally:
        os.close(handle)
    fsync_folder(target)
    fsync_folder(target.parent)
    return outputs


def _there(handle: int, file: str) -> bool:
    try:
        os.stat(file, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _take(handle: int, file: str, target: Path, run: Run, limit_mb: float) -> OutputFile:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        source = os.open(file, flags, dir_fd=handle)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ENOENT):
            raise
        # A link, a socket, something unreadable or gone again: whatever it is, it is not an answer.
        raise CaseFailed(FailureCode.MALFORMED_OUTPUT, "collect", f"{file} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise CaseFailed(FailureCode.MALFORMED_OUTPUT, "collect", f"{file} is not a regular file")
    digest, size = hashlib.sha256(), 0
    with open(source, "rb", buffering=0) as stream, target.open("wb") as kept:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > limit_mb * 1024 * 1024:
                raise CaseFailed(FailureCode.OUTPUT_TOO_LARGE, "collect", f"{file} is larger than {limit_mb:g} MB")
            digest.update(chunk)
            kept.write(chunk)
        kept.flush()
        os.fsync(kept.fileno())
    return OutputFile(target.relative_to(run.folder).as_posix(), digest.hexdigest(), size)


def _suffix(path: Path) -> str:
    return ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix


def _copy_neutral(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    _neutral(target, 0o444)


def _neutral(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.utime(path, (0, 0))

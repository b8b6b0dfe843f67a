"""The folders that a container sees: what goes in is a copy without a name, what comes out is treated as an attack.

While a container lives it may change what it can reach at any moment. So nothing is walked or deleted by a path that it could
redirect: folders are opened one below the other without following links, and what a model left beside its outputs is moved out
of its sight and deleted when its container has ended.
"""

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

from tef.benchmark import Benchmark, Limits
from tef.cohort import Case
from tef.contracts.base import CaseFailed
from tef.contracts.dicom import copy_nameless
from tef.errors import CohortError
from tef.files import fsync_folder, remove_tree
from tef.prediction import FailureCode, OutputFile
from tef.run import Run

# Where what a model left behind waits for the end of its container, beside ``input`` and ``output``.
TRASH = "trash"
MAX_FILES = 1000
# With less the disk is full: a model that holds it is ended before others fail.
LITTLE_MB = 8
_MAX_DEPTH = 16
_CHUNK = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What is wrong with this machine, and not with what a model wrote.
OURS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EROFS)


def lay_inputs(case: Case, benchmark: Benchmark, run: Run, folder: Path) -> dict[str, str]:
    """Copy a case's inputs under neutral names into ``folder``, readable by all and dated 1970.

    In DICOM files whatever names a patient, a study or an object is replaced by something that is another one in each run.

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
        target = folder / (name if wanted.kind == "dicom-series" else name + _suffix(source))
        if wanted.kind == "dicom-series":
            target.mkdir()
            for number, file in enumerate(sorted(p for p in source.iterdir() if p.is_file()), start=1):
                copy_nameless(file, target / f"{number:05d}.dcm", run, run.token(case.case_id))
                _neutral(target / f"{number:05d}.dcm", 0o444)
            _neutral(target, 0o755)
        else:
            shutil.copyfile(source, target)
            _neutral(target, 0o444)
        laid[name] = target.name
    _neutral(folder, 0o755)
    return laid


def make_output(folder: Path) -> None:
    """An empty folder that the container's user may write to; its parent is not, so that it cannot be replaced."""
    folder.mkdir()
    folder.chmod(0o777)


def check_size(folder: Path, limit_mb: float, max_files: int = MAX_FILES) -> None:
    """Raise CaseFailed where a container has written more than it may; follows no link, tolerates files that come and go."""
    left_bytes, left_files = int(limit_mb * 1024 * 1024), max_files
    too_much = CaseFailed(
        FailureCode.OUTPUT_TOO_LARGE,
        "predict",
        f"wrote more than {limit_mb:g} MB or more than {max_files} files, or nested them more than {_MAX_DEPTH} deep",
    )

    def walk(handle: int, depth: int) -> None:
        nonlocal left_bytes, left_files
        with os.scandir(handle) as entries:
            for entry in entries:
                try:
                    info = os.stat(entry.name, dir_fd=handle, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                left_files -= 1
                # Blocks count what a file without size hides, size what a file with holes would cost when it is copied.
                left_bytes -= 0 if stat.S_ISDIR(info.st_mode) else max(info.st_size, info.st_blocks * 512)
                if left_bytes < 0 or left_files < 0 or depth > _MAX_DEPTH:
                    raise too_much
                if stat.S_ISDIR(info.st_mode):
                    descend(entry.name, handle, depth + 1)

    def descend(name: str, parent: int | None, depth: int) -> None:
        try:
            handle = os.open(name, _FOLDER, dir_fd=parent)
        except OSError as error:
            if error.errno in OURS:
                raise
            if error.errno in (errno.EACCES, errno.EPERM):
                text = "closed a folder of its output, so that what it wrote cannot be measured"
                raise CaseFailed(FailureCode.OUTPUT_TOO_LARGE, "predict", text) from error
            return  # gone or replaced since it was seen: nothing in it can be collected either
        try:
            walk(handle, depth)
        finally:
            os.close(handle)

    descend(str(folder), None, 0)


class LittleRoom(Exception):  # noqa: N818 - whose fault it is shows when the container has ended
    """The disk is nearly full while a container is alive, which may hold room in files that it has deleted."""

    def __init__(self, free_mb: float) -> None:
        super().__init__(free_mb)
        self.free_mb = free_mb

    def judged(self, folder: Path, limits: Limits) -> CaseFailed:
        """What it was, now that the container has ended: the model's doing if that set room free.

        Raises:
            OSError: The disk is full without the model's doing.
        """
        freed_mb = _free_mb(folder) - self.free_mb
        if freed_mb <= 2 * limits.output_mb:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        text = f"held {freed_mb:.0f} MB of the disk in files that it had deleted; {limits.output_mb:g} are allowed"
        return CaseFailed(FailureCode.OUTPUT_TOO_LARGE, "predict", text)


def check_room(folder: Path, needed_mb: float) -> None:
    """Raise LittleRoom where the disk has less room."""
    free_mb = _free_mb(folder)
    if free_mb < needed_mb:
        raise LittleRoom(free_mb)


def _free_mb(folder: Path) -> float:
    return shutil.disk_usage(folder).free / (1024 * 1024)


def collect(case: Case, benchmark: Benchmark, run: Run, folder: Path) -> dict[str, OutputFile]:
    """Copy the declared outputs from a container's folder to the run's predictions, on disk to stay.

    Nothing else of the folder is ever opened: no link is followed, only regular files are read, at most to the limit.

    Raises:
        CaseFailed: An output is missing, is no regular file, or is too large.
    """
    check_size(folder, benchmark.limits.output_mb)
    target = run.prediction(case.case_id)
    if target.exists():
        remove_tree(target)
    target.mkdir(parents=True)
    outputs = {}
    handle = os.open(folder, _FOLDER)
    try:
        for name, wanted in benchmark.interface.outputs.items():
            present = [file for file in wanted.file_names(name) if _there(handle, file)]
            if len(present) != 1:
                what = f"both {present[0]} and {present[1]}" if present else f"no {' or '.join(wanted.file_names(name))}"
                code = FailureCode.MALFORMED_OUTPUT if present else FailureCode.NO_OUTPUT
                raise CaseFailed(code, "collect", f"{what} in the output folder; exactly one is expected")
            outputs[name] = _take(handle, present[0], target / present[0], run, benchmark.limits.output_mb)
    except CaseFailed:
        remove_tree(target)
        raise
    finally:
        os.close(handle)
    fsync_folder(target)
    fsync_folder(target.parent)
    return outputs


def discard(folder: Path, names: tuple[str, ...], trash: Path) -> bool:
    """Take a finished case's output folder out of a living container's sight.

    Args:
        folder: The case's folder.
        names: Files that may be deleted at once, which is what a well-behaved model leaves.
        trash: Where whatever else is left goes, to be deleted when the container has ended.

    Returns:
        Whether something went to the trash.
    """
    handle = os.open(folder, _FOLDER)
    try:
        for name in names:
            try:
                os.unlink(name, dir_fd=handle)
            except OSError as error:
                if error.errno in OURS:
                    raise
    finally:
        os.close(handle)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno in OURS:
            raise
        trash.mkdir(exist_ok=True)
        folder.rename(trash / folder.name)
        return True
    return False


def sweep(exchange: Path) -> None:
    """Delete what is in a worker's folders, which no container can reach any more, and keep ``input`` and ``output``."""
    for folder in (exchange / "input", exchange / "output", exchange / TRASH):
        if folder.exists():
            remove_tree(folder)
    for name in ("input", "output"):
        (exchange / name).mkdir(mode=0o755, exist_ok=True)


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
        if error.errno in OURS:
            raise
        # A link, a socket, something locked, unreadable or gone again: whatever it is, it is not an answer.
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


def _neutral(path: Path, mode: int) -> None:
    path.chmod(mode)
    os.utime(path, (0, 0))

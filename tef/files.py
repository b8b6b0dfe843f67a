"""Files that survive a crash, and folders that are gone when they should be."""

import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


def write_json(path: Path, content: Any) -> None:
    """Replace a file in one step, on disk to stay: a crash leaves the old one or the new one, never a piece."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """See `write_json`."""
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Put the names in a folder on disk to stay."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(folder: Path) -> None:
    """Delete a folder that no container can reach any more, however deep it is nested.

    What this user may not delete, as with a container engine of another user's, stays and is named in a warning.
    """
    pending = [folder]
    while pending:
        at, stuck = pending.pop(), False
        try:
            at.chmod(0o700)
            entries = list(os.scandir(at))
        except PermissionError:
            entries, stuck = [], True
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    # Moved up beside the root of the tree, so that no path grows too long for the system.
                    up = folder.with_name(f"{folder.name}.{secrets.token_hex(6)}")
                    os.rename(entry.path, up)
                    pending.append(up)
                else:
                    os.unlink(entry.path)
            except PermissionError:
                stuck = True
        if stuck:
            _log.warning("%s: cannot be removed by this user; please remove it as root", at)
        else:
            at.rmdir()

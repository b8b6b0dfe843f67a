"""Talking to a container over its standard streams, which a stranger's code may fill with anything at any speed."""

import json
import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from tef.sandbox import Container, Ending

_POLL_S = 0.1
_MAX_LINE = 64 * 1024
_CHUNK = 64 * 1024
_LAST_READS = 16


class Ended(Exception):  # noqa: N818 - the caller says what it means
    """The container closed its standard output: it has ended or is ending."""


class TimedOut(Exception):  # noqa: N818 - the caller says what it means
    """The deadline passed without an answer."""


class Log:
    """What a container printed, cut at a limit: one file a worker, opened for appending."""

    def __init__(self, path: Path, limit_mb: float) -> None:
        self._stream: BinaryIO = path.open("ab")
        self._left = int(limit_mb * 1024 * 1024) - self._stream.tell()
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Keep as much as the limit leaves room for, and remember the end."""
        self._tail = (self._tail + data)[-4096:]
        kept = data[: max(0, self._left)]
        self._left -= len(data)
        self._stream.write(kept)
        if kept and self._left <= 0:
            self._stream.write(b"\n[the log's limit is reached; what follows is not kept]\n")

    def last_error(self) -> str:
        """The last line that speaks of an error, as an engine's useful line is not always its last; else the last line."""
        lines = [line for line in self._lines() if "rror" in line]
        return lines[-1] if lines else self.last_line()

    def last_line(self) -> str:
        """The last line that is not empty, printable characters only, at most 300 of them."""
        lines = self._lines()
        return lines[-1] if lines else ""

    def _lines(self) -> list[str]:
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines()]
        return ["".join(c if c.isprintable() else "?" for c in line)[:300] for line in lines if line]

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class Conversation:
    """One JSON object a line in both directions; every other line on standard output goes to the log."""

    def __init__(self, container: Container, log: Log) -> None:
        process = container.process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("the container's streams must be pipes")
        self._stdin = process.stdin
        self._log = log
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        os.set_blocking(process.stdin.fileno(), False)
        for stream, is_answer in ((process.stdout, True), (process.stderr, False)):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, is_answer)

    def close(self) -> None:
        """Stop listening, after a last and bounded look at what is there."""
        for _ in range(_LAST_READS):
            self._read(0)
        self._log.write(b"\n".join([*self._lines, self._rest]))
        self._selector.close()

    def send(self, message: dict[str, Any], timeout_s: float, watch: Callable[[], None]) -> None:
        """Write one line; arguments as of `receive`.

        Raises:
            Ended: Nobody reads any more.
            TimedOut: The other side leaves what it was sent before unread.
        """
        deadline = time.monotonic() + timeout_s
        left = json.dumps(message).encode() + b"\n"
        while left:
            try:
                left = left[os.write(self._stdin.fileno(), left) :]
            except BrokenPipeError as error:
                raise Ended from error
            except BlockingIOError:
                watch()
                if time.monotonic() >= deadline:
                    raise TimedOut from None
                if not self._read(_POLL_S):
                    raise Ended from None
                # No answer is awaited yet: what comes now is kept in the log alone.
                while self._lines:
                    self._log.write(self._lines.popleft() + b"\n")

    def receive(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float, watch: Callable[[], None]) -> dict[str, Any]:
        """Wait for the first object that is wanted.

        Args:
            wanted: Recognises the answer; other lines are logged.
            timeout_s: Wall-clock limit.
            watch: Called several times a second while waiting; what it raises ends the wait.

        Raises:
            Ended: Standard output was closed before.
            TimedOut: The limit passed before.
        """
        deadline = time.monotonic() + timeout_s
        watched = time.monotonic()
        while True:
            while self._lines:
                line = self._lines.popleft()
                message = _object(line)
                if message is not None and wanted(message):
                    return message
                self._log.write(line + b"\n")
            now = time.monotonic()
            if now - watched >= _POLL_S:
                watched = now
                watch()
            if now >= deadline:
                raise TimedOut
            if not self._read(min(_POLL_S, deadline - now)):
                raise Ended

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
        if len(self._rest) > _MAX_LINE:
            # Longer than any answer: it goes to the log in pieces, and no piece of it is taken for a line.
            self._log.write(self._rest)
            self._rest = b"."

    def _read(self, timeout_s: float) -> bool:
        """Take in what is there; False once standard output is closed."""
        open_ = True
        for key, _ in self._selector.select(timeout_s):
            data = os.read(key.fd, _CHUNK)
            if key.data:
                self._take(data)
                open_ = open_ and bool(data)
            elif data:
                self._log.write(data)
            else:
                self._selector.unregister(key.fileobj)
        return open_


def end(container: Container, talk: Conversation) -> Ending:
    """End a container and its conversation; whatever fails on the way, the container is removed."""
    try:
        container.kill()
        talk.close()
    finally:
        ending = container.ending()
    return ending


def _object(line: bytes) -> dict[str, Any] | None:
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and message.get("tef") == 1 else None

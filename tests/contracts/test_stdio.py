"""The conversation with a process that may print anything at any speed, or nothing, or not listen."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tef.contracts.stdio import Conversation, Ended, Log, TimedOut

ANSWER = '{"tef": 1, "case": "c1", "status": "ok"}'


@pytest.fixture
def talk(tmp_path):
    """Talk to a Python program; the log is read back."""
    processes = []

    def talk(code):
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        processes.append(process)
        log = Log(tmp_path / "log", 0.1)
        return Conversation(SimpleNamespace(process=process), log), log

    yield talk
    for process in processes:
        process.kill()
        process.communicate()


def answered(conversation, timeout_s=10, watch=lambda: None):
    return conversation.receive(lambda message: message.get("case") == "c1", timeout_s, watch)


@pytest.mark.parametrize(
    "stray",
    [
        "print('hello')",
        "print('{\"tef\": 1}')",
        "print('{not json')",
        "print('[' * 100000)",
        "import sys; sys.stdout.buffer.write(bytes(range(256)) + b'\\n')",
        "print('x' * 1_000_000)",
        "print('{\"tef\": 1, \"case\": \"c1\"' + ' ' * 200_000 + '}')",
        "import sys; print('e' * 1_000_000, file=sys.stderr)",
    ],
)
def test_an_answer_is_heard_through_whatever_else_is_printed(talk, stray):
    """Stray prints, garbage and floods go to the log and break nothing."""
    conversation, log = talk(f"{stray}\nprint({ANSWER!r}, flush=True)\nimport time; time.sleep(60)")

    assert answered(conversation)["status"] == "ok"
    conversation.close()
    log.close()


def test_the_log_is_cut_at_its_limit(talk, tmp_path):
    """A container cannot fill the disk with what it prints."""
    conversation, log = talk(f"for _ in range(100000): print('y' * 99)\nprint({ANSWER!r})")
    answered(conversation)
    conversation.close()
    log.close()

    assert (tmp_path / "log").stat().st_size < 0.11 * 1024 * 1024
    assert b"the log's limit is reached" in (tmp_path / "log").read_bytes()


def test_a_process_that_does_not_listen_times_out(talk):
    """A message that nobody reads does not hold the harness beyond the case's time."""
    conversation, log = talk("import time; time.sleep(60)")
    began = time.monotonic()

    with pytest.raises(TimedOut):
        conversation.send({"case": "x" * 1_000_000}, 0.5, lambda: None)

    assert time.monotonic() - began < 5
    conversation.close()
    log.close()


def test_a_process_that_has_ended_is_noticed(talk):
    """Neither waiting for an answer nor sending to it hangs."""
    conversation, log = talk("pass")

    with pytest.raises(Ended):
        answered(conversation)
    with pytest.raises(Ended):
        conversation.send({"case": "x" * 1_000_000}, 5, lambda: None)
    conversation.close()
    log.close()


def test_whoever_watches_is_asked_several_times_a_second(talk):
    """The size of outputs and the wish to stop are looked at while a model is at work."""
    conversation, log = talk("import time; time.sleep(60)")
    looks = []

    with pytest.raises(TimedOut):
        answered(conversation, timeout_s=1, watch=lambda: looks.append(1))

    assert len(looks) >= 3
    conversation.close()
    log.close()

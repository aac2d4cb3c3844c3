"""The debugging record: every line and every token, whatever bytes they have."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding
from gptoss_acp.trace import Trace


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    trace = Trace(tmp_path / "trace", lambda token: str(encoding.load().decode([token])))
    yield trace
    trace._file.close()  # which the end of the process does for the program


def test_the_trace_has_lines_and_tokens_and_survives_odd_bytes(trace: Trace, tmp_path: Path) -> None:
    trace.line("<-", b"\xff")
    trace.line("->", '{"text":"☃"}'.encode())
    trace.token(vocabulary.RETURN)
    trace.token(encoding.encode_text(" notes")[0])
    lines = (tmp_path / "trace").read_text("utf-8").splitlines()
    assert lines == ["<- \ufffd", '-> {"text":"☃"}', "token 200002 '<|return|>'", "token 12870 ' notes'"]


def test_the_trace_takes_part_of_a_character(trace: Trace, tmp_path: Path) -> None:
    for token in (pieces := encoding.encode_text("🫠")):
        trace.token(token)
    assert len(pieces) > 1
    assert len((tmp_path / "trace").read_text("utf-8").splitlines()) == len(pieces)


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[int]:
    """The end of a pipe at `tmp_path`/pipe that is read; nothing reads it yet."""
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    yield descriptor
    os.close(descriptor)


def test_a_pipe_that_is_read_slowly_gets_everything(tmp_path: Path, reading: int) -> None:
    piped, line = Trace(tmp_path / "pipe", str), b"x" * 2**18  # four times what a pipe holds

    def write() -> None:
        piped.line("<-", line)
        piped._file.close()

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.2)
    with os.fdopen(os.dup(reading), "rb") as file:
        assert file.read() == b"<- " + line + b"\n"
    writer.join()


def test_a_trace_that_fails_ends_and_nothing_else_does(
    tmp_path: Path, reading: int, caplog: pytest.LogCaptureFixture
) -> None:
    piped = Trace(tmp_path / "pipe", str)
    with Path(os.devnull).open("rb") as null:
        os.dup2(null.fileno(), reading)  # its reader has left
    for number in range(3):
        piped.token(number)
    piped._file.close()
    (record,) = caplog.records
    assert "the trace ends here: [Errno 32]" in record.message

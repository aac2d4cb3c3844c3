"""The debugging record: every line and every token, whatever bytes they have."""

from __future__ import annotations

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

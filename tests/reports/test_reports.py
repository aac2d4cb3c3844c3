"""What people have reported of coding agents is not so here. Those about MCP servers are in tests/tools/mcp."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.tools import search
from tests.reports.inputs import REPORTS, Report
from tests.support.desk import Desk


@pytest.mark.parametrize(
    "report",
    [pytest.param(report, id=f"{kind}: {report.source}") for kind, reports in REPORTS.items() for report in reports],
)
async def test_what_was_reported_is_not_so_here(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "QUICK_SECONDS", 60.0)
    monkeypatch.setattr(search, "LONGEST_BESIDE_SECONDS", 60.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    work = tmp_path / "work"
    work.mkdir()
    for name, content in report.files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    report.prepare(work)
    result = await Desk(work).call(report.tool, report.arguments)
    assert all(expected in result for expected in report.has), result
    assert not any(unexpected in result for unexpected in report.has_not), result
    assert {name: (work / name).read_bytes() for name in report.left} == report.left

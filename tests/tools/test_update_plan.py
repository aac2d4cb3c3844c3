"""The tool that shows a plan."""

from __future__ import annotations

from pathlib import Path

from tests.support.desk import Desk


async def test_a_plan_is_shown(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    plan = [{"step": "look", "status": "completed"}, {"step": "mend", "status": "in_progress"}]
    assert await desk.call("update_plan", explanation="so", plan=plan) == "Plan updated."
    (shown,) = [update for update in desk.peer.updates if update["sessionUpdate"] == "plan"]
    assert [(entry["content"], entry["status"]) for entry in shown["entries"]] == [
        ("look", "completed"),
        ("mend", "in_progress"),
    ]
    assert "status: Input should be" in await desk.call("update_plan", plan=[{"step": "x", "status": "maybe"}])

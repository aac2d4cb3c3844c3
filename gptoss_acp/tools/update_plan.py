"""The tool that shows a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel

from gptoss_acp.tools.arguments import Arguments, as_list, own_name

if TYPE_CHECKING:
    from gptoss_acp.tools.call import Call


class Step(BaseModel):
    step: str
    status: Literal["pending", "in_progress", "completed"]


_STATUSES = {
    "completed": ("complete", "done", "finished", "x"),
    "in_progress": ("in-progress", "inprogress", "in progress", "active", "doing", "started", "current"),
    "pending": ("todo", "to do", "open", "not_started", "planned", "waiting", ""),
}


class UpdatePlan(Arguments):
    explanation: str | None = None
    plan: list[Step]

    listed: ClassVar = "plan"

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take a list in a string, and steps that are texts or go by other names, for steps."""
        plan = as_list(given.get("plan"))
        return given | {"plan": [_step(item) for item in plan]} if isinstance(plan, list) else given


def _step(item: Any) -> Any:
    if isinstance(item, str):
        return {"step": item, "status": "pending"}
    if not isinstance(item, dict):
        return item
    named = {own_name(name, ("step", "status")): value for name, value in item.items()}
    status = str(named.get("status") or "").lower()
    meant = next((name for name, others in _STATUSES.items() if status in others), status)
    return {"step": named.get("step"), "status": meant}


async def update_plan(arguments: UpdatePlan, call: Call) -> str:
    """Show the user the plan of a longer task, or its progress."""
    call.show_plan([{"content": step.step, "priority": "medium", "status": step.status} for step in arguments.plan])
    return "Plan updated."

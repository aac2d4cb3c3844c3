"""The tool that shows a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from gptoss_acp.tools.arguments import Arguments

if TYPE_CHECKING:
    from gptoss_acp.tools.call import Call


class Step(BaseModel):
    step: str
    status: Literal["pending", "in_progress", "completed"]


class UpdatePlan(Arguments):
    explanation: str | None = None
    plan: list[Step]


async def update_plan(arguments: UpdatePlan, call: Call) -> str:
    """Show the user the plan of a longer task, or its progress."""
    call.show_plan([{"content": step.step, "priority": "medium", "status": step.status} for step in arguments.plan])
    return "Plan updated."

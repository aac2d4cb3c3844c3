"""Work that a cancellation must not interrupt: it comes to its end, and the cancellation goes on after it."""

from __future__ import annotations

import asyncio

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.shielding import unharmed
from tests.support.waiting import all_has_run


class Work:
    """Work that has begun and ends when the test lets it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.go_on = asyncio.Event()
        self.done = False
        self._failure = failure

    async def run(self) -> str:
        await self.go_on.wait()
        self.done = True
        if self._failure:
            raise self._failure
        return "worked"


async def test_what_is_left_alone_returns_its_result_or_its_failure() -> None:
    work, failing = Work(), Work(ToolError("no"))
    for one in (work, failing):
        one.go_on.set()
    assert await unharmed(work.run()) == "worked"
    with pytest.raises(ToolError, match="no"):
        await unharmed(failing.run())


@pytest.mark.parametrize("cancels", [1, 3])
@pytest.mark.parametrize("failure", [None, ToolError("no")], ids=["it works", "it fails"])
async def test_a_cancellation_waits_for_the_end_of_the_work_and_is_not_lost(
    failure: Exception | None, cancels: int
) -> None:
    work = Work(failure)
    task = asyncio.create_task(unharmed(work.run()))
    for _ in range(cancels):
        await all_has_run()
        task.cancel()
    await all_has_run()
    assert not task.done()
    work.go_on.set()
    await asyncio.wait([task])
    assert work.done
    assert task.cancelled()

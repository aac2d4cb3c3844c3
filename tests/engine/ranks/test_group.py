"""What ranks tell each other arrives as it was said, or ends them: MLX hands on anything of a rank that has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.ranks.group import LONGEST_TEXT, LinkError, SeveralRanks, _checksum

GROUP = SimpleNamespace(size=lambda: 2, rank=lambda: 0)


class Told(SeveralRanks):
    """Rank 0, to which rank 1 tells what `other` makes of what it says itself."""

    def __init__(self, other: Any) -> None:
        super().__init__(GROUP, lambda *_: None)
        self._other = other

    def _collected(self, _: Any, mine: Any) -> Any:
        return np.concatenate([mine, self._other(mine)])


def test_what_is_told_arrives() -> None:
    with Told(np.copy).together():
        pass
    Told(np.copy).require_equal("The weights", "ä" * 1000)
    content = b"no room".ljust(LONGEST_TEXT, b"\0")
    told = np.frombuffer(content + _checksum(content), np.uint8)
    with pytest.raises(EngineError, match="rank 1: no room"), Told(lambda _: told).together():
        pass


@pytest.mark.parametrize("seed", range(3))
def test_what_just_lies_in_memory_is_nobodys_words(seed: int) -> None:
    def garbage(mine: Any) -> Any:
        return np.random.default_rng(seed).integers(0, 256, len(mine), np.uint8)

    with pytest.raises(LinkError, match="rank 1"), Told(garbage).together():
        pass
    with pytest.raises(LinkError, match="rank 1"):
        Told(np.zeros_like).require_equal("The weights", "abc")

"""What the ranks of a model agree on while they compute it, each asked for at the same point of the same program.

Knows MLX's collectives, and that all of them must be called in one order by every rank. Knows nothing about models or
schedules. Imported on the engine's thread only.
"""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generation_stream

from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.prefill_cost import PrefillCost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

LONGEST_TEXT = 512
"""Bytes of what one rank tells the others of a failure, or of itself."""

MOST_LENGTHS = 64
"""How many snapshots on the way to a prompt are compared, the longest ones."""


class LinkError(RuntimeError):
    """What another rank said has not arrived: of one that has ended, MLX's ring hands on what just lies in memory."""


class Ranks:
    """The processes that compute a model: here one alone, which agrees with itself and costs nothing."""

    size = 1
    rank = 0
    leads = True
    group: Any = None

    def together(self) -> AbstractContextManager[None]:
        """Do what may fail on any rank, and where it has on one, fail on all with an EngineError."""
        return contextlib.nullcontext()

    def require_equal(self, what: str, value: str) -> None:
        """Fail on all ranks where `value` is not the same on all."""

    def least(self, number: int) -> int:
        """Return the smallest `number` of all ranks'."""
        return number

    def longest_common(self, lengths: Sequence[int]) -> int:
        """Return the largest of `lengths`, which ascend, that every rank has; 0 if there is none."""
        return lengths[-1] if lengths else 0

    def sampled(self, ids: mx.array) -> mx.array:
        """Return the ids (batch,) that rank 0 has sampled; what others call so must be 0."""
        return ids

    def prefill_cost(self, layers: int) -> PrefillCost:
        """Return what learns what chunks cost, of a model of `layers`: on every rank the same."""
        return PrefillCost(layers)


ALONE = Ranks()


class SeveralRanks(Ranks):
    """One rank of `group`. `tell_cost` is called with what rank 0 has learnt, for the others to `learn`."""

    def __init__(self, group: Any, tell_cost: Callable[[int, int, float, float], None]) -> None:
        self.group = group
        self.size = group.size()
        self.rank = group.rank()
        self.leads = self.rank == 0
        self._tell_cost = tell_cost
        self._costs: list[_SharedCost] = []

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        failure: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 (told to the others, and raised below)
            failure = error
        told = self._told("" if failure is None else str(failure) or type(failure).__name__)
        if isinstance(failure, EngineError):
            raise failure
        if problems := [f"rank {rank}: {text}" for rank, text in enumerate(told) if text]:
            raise EngineError("; ".join(problems)) from failure

    def require_equal(self, what: str, value: str) -> None:
        told = self._told(value)
        if len(set(told)) > 1:
            each = "; ".join(f"rank {rank}: {text}" for rank, text in enumerate(told))
            raise EngineError(f"{what} must be the same on all machines. {each}")

    def least(self, number: int) -> int:
        return int(self._collected(mx.distributed.all_min, np.array([number], np.int64))[0])

    def longest_common(self, lengths: Sequence[int]) -> int:
        mine = np.zeros(MOST_LENGTHS, np.int32)
        mine[: len(lengths)] = lengths[-MOST_LENGTHS:]
        every = self._collected(mx.distributed.all_gather, mine).reshape(self.size, MOST_LENGTHS)
        return max(set.intersection(*({0, *map(int, row)} for row in every)))

    def sampled(self, ids: mx.array) -> mx.array:
        return mx.distributed.all_sum(ids, group=self.group)

    def prefill_cost(self, layers: int) -> PrefillCost:
        cost = _SharedCost(layers, len(self._costs), self._tell_cost if self.leads else None)
        self._costs.append(cost)
        return cost

    def learn(self, number: int, tokens: int, seconds: float, longest: float) -> None:
        """Note what rank 0 has told of the model that was loaded as the `number`th."""
        self._costs[number].learn(tokens, seconds, longest)

    def _told(self, text: str) -> list[str]:
        """Return what each rank has to tell, cut to what one may."""
        content = text.encode()[:LONGEST_TEXT].ljust(LONGEST_TEXT, b"\0")
        mine = np.frombuffer(content + _checksum(content), np.uint8)
        every = self._collected(mx.distributed.all_gather, mine).reshape(self.size, len(mine))
        return [_checked(rank, bytes(row)) for rank, row in enumerate(every)]

    def _collected(self, collective: Callable[..., mx.array], mine: Any) -> Any:
        # On the stream of the steps: what is on several streams has no order, and the ranks would mix it up.
        with mx.stream(generation_stream):
            return np.array(collective(mx.array(mine), group=self.group))


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def _checked(rank: int, told: bytes) -> str:
    content, checksum = told[:LONGEST_TEXT], told[LONGEST_TEXT:]
    if checksum != _checksum(content):
        raise LinkError(f"what rank {rank} says has not arrived")
    return content.rstrip(b"\0").decode(errors="replace")


class _SharedCost(PrefillCost):
    """Learns on rank 0 from its own chunks, which are told; elsewhere (`tell` is None) from what is told only."""

    def __init__(self, layers: int, number: int, tell: Callable[[int, int, float, float], None] | None) -> None:
        super().__init__(layers)
        self._number = number
        self._tell = tell

    def note(self, tokens: int, seconds: float, longest: float = 0.0) -> None:
        if self._tell is not None:
            self._tell(self._number, tokens, seconds, longest)
            self.learn(tokens, seconds, longest)

    def learn(self, tokens: int, seconds: float, longest: float) -> None:
        super().note(tokens, seconds, longest)

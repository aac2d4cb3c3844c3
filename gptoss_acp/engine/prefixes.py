"""KV reuse: what the model has read once, kept where conversations branch.

A tree of snapshots. Each node holds the token ids from its parent's end to its own, the full-attention layers' keys
and values of just those tokens, and the sliding layers' window at its end. So snapshots of one conversation share all
that they have in common, and a new one costs its own tokens only. A wrapped ring is never trimmed: a prompt goes on
from a node or not at all. Where memory does not hold a snapshot and the cache that goes on from it, one copy of their
arrays passes from the one to the other, layer by layer.

Knows token ids and caches. Knows nothing about messages or scheduling. Used on the engine's thread only.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from gptoss_acp.engine.caches import Cache, Pair, full_layer, is_sliding, keys_and_values, sliding_layer
from gptoss_acp.engine.ranks.group import ALONE, Ranks
from gptoss_acp.engine.snapshot_files import UnusableSnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gptoss_acp.engine.snapshot_files import DiskTier

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Node:
    """A point that prompts may go on from: `length` tokens from the root, the last of them `tokens`.

    `layers` holds a pair a layer: of this node's own tokens in a full layer, of the last window in a sliding one. None
    where they are on disk only.
    """

    parent: Node | None
    tokens: tuple[int, ...]
    length: int
    layers: list[Pair] | None
    digest: str
    children: list[Node] = field(default_factory=list)
    used: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory that this snapshot adds to its parent's."""
        return _nbytes(self.layers or ())

    def path(self) -> list[Node]:
        """Return the nodes from below the root to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


class PrefixCache:
    """The snapshots of one model, at most `budget` bytes of them in memory, least recently used go first."""

    def __init__(self, empty_cache: Cache, budget: int, disk: DiskTier | None = None, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._sliding = [is_sliding(layer) for layer in empty_cache]
        self._window = next((layer.max_size for layer in empty_cache if is_sliding(layer)), 0)
        self.budget = budget
        self._disk = disk
        self._root = Node(None, (), 0, [], "")
        self._clock = count(1)
        if disk is not None:
            self._index(disk)

    @property
    def nbytes(self) -> int:
        return sum(node.nbytes for node in self._nodes())

    def find(self, prompt: Sequence[int], budget: int | None = None) -> tuple[int, Cache | None]:
        """Return how many of `prompt`'s tokens need not be read again, and a cache of them to go on from.

        At least the last token is always left to read, since its logits are wanted. Beside the cache `budget` bytes of
        snapshots are left at most (None: the usual number): what is more goes, at last into the cache itself.
        """
        budget = self.budget if budget is None else budget
        node = self._deepest(prompt[:-1])
        self.shrink(budget, node.path())
        node = self._known_to_all(self._in_memory(node))
        self.shrink(budget, node.path())
        if node is self._root:
            return 0, None
        self._touch(node)
        return node.length, self._restore(node, budget)

    def covers(self, tokens: Sequence[int]) -> bool:
        """Return whether a snapshot ends exactly where `tokens` do."""
        return self._deepest(tokens).length == len(tokens)

    def add(self, tokens: Sequence[int], cache: Cache, budget: int | None = None) -> bool:
        """Keep what `cache` holds of `tokens`; it must have read exactly these, and is taken apart.

        Nothing is copied where that does not go into `budget` bytes with what it goes on from (None: the usual
        number). Returns whether it is kept, now or before.
        """
        parent = self._deepest(tokens)
        self._touch(parent)
        if parent.length == len(tokens):
            return True
        layers = [_pair(layer, parent.length, len(tokens)) for layer in cache]  # copied when they are evaluated
        room = (self.budget if budget is None else budget) - _nbytes(layers)
        if sum(step.nbytes for step in parent.path()) > room:
            return False
        self.shrink(room, parent.path())
        cache.clear()
        for pair in layers:
            mx.eval(pair)
        own = tuple(tokens[parent.length :])
        node = Node(parent, own, len(tokens), layers, _digest(parent.digest, own))
        parent.children.append(node)
        self._touch(node)
        return True

    def persist(self, tokens: Sequence[int]) -> None:
        """Write the snapshots on the way to `tokens` to disk, in the background, as far as that keeps up."""
        if self._disk is None:
            return
        for node in self._deepest(tokens).path():
            if node.layers is not None:  # else it is there
                assert node.parent is not None
                if not self._disk.write(node.digest, node.parent.digest, node.tokens, node.layers):
                    return

    def close(self) -> None:
        """Write nothing to disk after what is on its way."""
        if self._disk is not None:
            self._disk.close()

    def shrink(self, budget: int, spared: Sequence[Node] = ()) -> None:
        """Let go of the least recently used snapshots, but for `spared`, until all take at most `budget` bytes."""
        excess = self.nbytes - budget
        while excess > 0:
            leaves = [node for node in self._nodes() if node.layers and not any(c.layers for c in node.children)]
            leaves = [node for node in leaves if node not in spared]
            if not leaves:
                return
            oldest = min(leaves, key=lambda node: node.used)
            excess -= oldest.nbytes
            self._drop(oldest)

    def _deepest(self, tokens: Sequence[int]) -> Node:
        tokens = tuple(tokens)
        node = self._root
        while True:
            fitting = (c for c in node.children if tokens[node.length : c.length] == c.tokens)
            longest = max(fitting, key=lambda child: child.length, default=None)
            if longest is None:
                return node
            node = longest

    def _in_memory(self, node: Node) -> Node:
        """Read from disk what `node` needs, and return it, or the last on the way to it before what can't be read."""
        for step in node.path():
            if step.layers is None and not self._read(step):
                assert step.parent is not None
                return step.parent
        return node

    def _known_to_all(self, node: Node) -> Node:
        """Return the last on the way to `node` that every rank has in memory."""
        path = node.path()
        length = self._ranks.longest_common([step.length for step in path])
        return next((step for step in path if step.length == length), self._root)

    def _read(self, node: Node) -> bool:
        assert self._disk is not None
        try:
            node.layers = self._disk.read(node.digest, len(self._sliding))
        except UnusableSnapshotError as error:
            log.warning("a stored snapshot is removed: %s", error)
            self._remove(node)
        except OSError as error:
            log.warning("a stored snapshot can't be read now: %s", error)
        return node.layers is not None

    def _restore(self, node: Node, budget: int) -> Cache:
        """Return a cache made of the snapshots up to `node`, of which the last ones go where `budget` is not enough.

        Layer by layer, so that of what goes no more than one layer is there twice.
        """
        path = node.path()
        layers: list[list[Pair | None]] = [list(step.layers or ()) for step in path]
        while path and self.nbytes > budget:
            self._drop(path.pop())
        cache: Cache = []
        for index, sliding in enumerate(self._sliding):
            cache.append(self._layer([pair for held in layers if (pair := held[index])], node.length, sliding=sliding))
            for held in layers:
                held[index] = None
        return cache

    def _layer(self, pairs: list[Pair], length: int, *, sliding: bool) -> Any:
        pairs = pairs[-1:] if sliding else pairs
        keys = mx.concatenate([keys for keys, _ in pairs], axis=2)
        values = mx.concatenate([values for _, values in pairs], axis=2)
        mx.eval(keys, values)
        return sliding_layer(keys, values, self._window, length) if sliding else full_layer(keys, values)

    def _index(self, disk: DiskTier) -> None:
        by_digest = {"": self._root}
        for stored in disk.stored():
            parent = by_digest[stored.parent]
            node = Node(parent, stored.tokens, parent.length + len(stored.tokens), None, stored.digest)
            parent.children.append(node)
            by_digest[stored.digest] = node

    def _drop(self, node: Node) -> None:
        """Let go of a node's arrays; one that is not on the disk is of no use any more."""
        node.layers = None
        if self._disk is None or not self._disk.holds(node.digest):
            self._remove(node)

    def _remove(self, node: Node) -> None:
        """Remove a node, and all that goes on from it."""
        for child in list(node.children):
            self._remove(child)
        if self._disk is not None:
            self._disk.remove(node.digest)
        if node.parent is not None:
            node.parent.children.remove(node)

    def _touch(self, node: Node) -> None:
        now = next(self._clock)
        for step in node.path():
            step.used = now
        if self._disk is not None:
            self._disk.touch(step.digest for step in node.path())

    def _nodes(self) -> Iterator[Node]:
        stack = list(self._root.children)
        while stack:
            node = stack.pop()
            yield node
            stack += node.children


def _pair(layer: Any, start: int, end: int) -> Pair:
    if layer.offset != end:
        raise ValueError(f"the cache has read {layer.offset} tokens, not {end}")
    return keys_and_values(layer, start)


def _nbytes(layers: Iterable[Pair]) -> int:
    return sum(keys.nbytes + values.nbytes for keys, values in layers)


def _digest(parent: str, tokens: Sequence[int]) -> str:
    return hashlib.sha256(parent.encode() + b":" + ",".join(map(str, tokens)).encode()).hexdigest()[:40]

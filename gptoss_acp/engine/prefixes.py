"""KV reuse: what the model has read once, kept where conversations branch.

A tree of snapshots. Each node holds the token ids from its parent's end to its own, the full-attention layers' keys
and values of just those tokens, and the sliding layers' window at its end. So snapshots of one conversation share all
that they have in common, and a new one costs its own tokens only. A wrapped ring is never trimmed: a prompt goes on
from a node or not at all.

Knows token ids and caches. Knows nothing about messages or scheduling. Used on the engine's thread only.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from gptoss_acp.engine.batch import Cache, Pair, full_layer, is_sliding, keys_and_values, sliding_layer
from gptoss_acp.engine.snapshot_files import UnusableSnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers or ())

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

    def __init__(self, empty_cache: Cache, budget: int, disk: DiskTier | None = None) -> None:
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

    def find(self, prompt: Sequence[int]) -> tuple[int, Cache | None]:
        """Return how many of `prompt`'s tokens need not be read again, and a cache of them to go on from.

        At least the last token is always left to read, since its logits are wanted.
        """
        node = self._in_memory(self._deepest(prompt[:-1]))
        if node is self._root:
            return 0, None
        self._touch(node)
        cache = self._restore(node)
        self.shrink(self.budget)
        return node.length, cache

    def covers(self, tokens: Sequence[int]) -> bool:
        """Return whether a snapshot ends exactly where `tokens` do."""
        return self._deepest(tokens).length == len(tokens)

    def add(self, tokens: Sequence[int], cache: Cache) -> None:
        """Keep what `cache` holds of `tokens`; it must have read exactly these."""
        parent = self._deepest(tokens)
        if parent.length == len(tokens):
            self._touch(parent)
            return
        own = tuple(tokens[parent.length :])
        layers = [_pair(layer, parent.length, len(tokens)) for layer in cache]
        mx.eval(layers)
        node = Node(parent, own, len(tokens), layers, _digest(parent.digest, own))
        parent.children.append(node)
        self._touch(node)
        self.shrink(self.budget)

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

    def shrink(self, budget: int) -> None:
        """Let go of the least recently used snapshots until the rest takes at most `budget` bytes."""
        excess = self.nbytes - budget
        while excess > 0:
            leaves = [node for node in self._nodes() if node.layers and not any(c.layers for c in node.children)]
            if not leaves:
                return
            oldest = min(leaves, key=lambda node: node.used)
            excess -= oldest.nbytes
            if self._disk is not None and self._disk.holds(oldest.digest):
                oldest.layers = None
            else:
                self._remove(oldest)

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

    def _restore(self, node: Node) -> Cache:
        path = node.path()
        cache: Cache = []
        for index, sliding in enumerate(self._sliding):
            pairs = [step.layers[index] for step in (path[-1:] if sliding else path) if step.layers is not None]
            keys = mx.concatenate([keys for keys, _ in pairs], axis=2)
            values = mx.concatenate([values for _, values in pairs], axis=2)
            cache.append(
                sliding_layer(keys, values, self._window, node.length) if sliding else full_layer(keys, values)
            )
        return cache

    def _index(self, disk: DiskTier) -> None:
        by_digest = {"": self._root}
        for stored in disk.stored():
            parent = by_digest[stored.parent]
            node = Node(parent, stored.tokens, parent.length + len(stored.tokens), None, stored.digest)
            parent.children.append(node)
            by_digest[stored.digest] = node

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


def _digest(parent: str, tokens: Sequence[int]) -> str:
    return hashlib.sha256(parent.encode() + b":" + ",".join(map(str, tokens)).encode()).hexdigest()[:40]

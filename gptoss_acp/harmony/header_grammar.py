"""Masks over the vocabulary that make malformed headers impossible, and keep tool arguments within their schemas.

The grammar is a finite automaton over token ids, and it runs on the device: the next state and its mask are looked up
from the last sampled token while the host does not know that token yet, so decoding stays pipelined.

Knows Harmony's headers and the tools' names and schemas. Knows nothing about batches, sessions, or where logits come
from. Imported on the engine's thread only.
"""

from __future__ import annotations

import itertools
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import mlx.core as mx
import numpy as np

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding, json_grammar
from gptoss_acp.harmony.render import ASSISTANT_START
from gptoss_acp.tool_names import APPLY_PATCH, PYTHON, ToolNames
from gptoss_acp.vocabulary import CALL, CHANNEL, CONSTRAIN, END, MESSAGE, RETURN, START

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llguidance import LLMatcher

    from gptoss_acp.harmony.constraint import Constraint

_ASSISTANT = ASSISTANT_START[1]

# The states that every grammar has. Then come the arguments of each tool, then the insides of headers.
HEADER, ANALYSIS, PREAMBLE, FINAL, ENDED, STARTED, STOPPED = range(7)

_LAG = 2
"""How many steps ago a state must have been looked up for the host to read it without waiting.

mlx-lm builds a step while the step before it still runs; of the one before that it has waited for the token.
"""

Part = str | int
"""A piece of a header: text, or a control id. Text never turns into a control id, whatever a tool is called."""


@lru_cache(maxsize=4)
def grammar_of(constraint: Constraint) -> HeaderGrammar:
    """Return the grammar that enforces `constraint`; equal ones get the same grammar."""
    return HeaderGrammar(constraint.tools)


class HeaderGrammar:
    """What the model may write after `<|start|>assistant`, as tables on the device.

    `edges[state]` maps the ids that lead on to their next states. In a state of `contents` all ordinary ids are
    allowed besides and change nothing. `schemas` holds the schema of each state that has one, and whether a patch may
    stand for it.
    """

    def __init__(self, tools: Sequence[tuple[str, str | None]]) -> None:
        names = ToolNames(recipient for recipient, _ in tools)
        told = {PYTHON: None, **dict(tools)} if names.meant(PYTHON) else dict(tools)
        arguments = {recipient: state for state, recipient in enumerate(told, STOPPED + 1)}
        self.schemas = {
            arguments[recipient]: (schema, recipient == APPLY_PATCH) for recipient, schema in told.items() if schema
        }
        self.contents = {ANALYSIS, PREAMBLE, FINAL, *arguments.values()}
        self.edges: list[dict[int, int]] = [{} for _ in range(STOPPED + 1 + len(arguments))]
        self.edges[ANALYSIS] = self.edges[PREAMBLE] = {END: ENDED}
        # Nothing but the user follows a final message, so it ends the turn: after `<|end|>` the model would go on as
        # the user, or be made to answer twice.
        self.edges[FINAL] = {RETURN: STOPPED}
        self.edges[ENDED] = {START: STARTED}
        self.edges[STARTED] = {_ASSISTANT: HEADER}
        self.edges[STOPPED] = {RETURN: STOPPED}  # a step that was begun before the host saw the end; nobody reads it
        for state in arguments.values():
            self.edges[state] = {CALL: STOPPED}
        for spelling, recipient in names.spellings():
            for header in _tool_headers(f" to={spelling}"):
                self._add(header, arguments[recipient])
        for channel, state in (("analysis", ANALYSIS), ("commentary", PREAMBLE), ("final", FINAL)):
            self._add((CHANNEL, channel, MESSAGE), state)
        self._steps_to_arguments = self._count_steps_to_arguments()
        self._lay_out_tables()

    def processor(self, prompt: Sequence[int]) -> HeaderProcessor:
        """Return a fresh logits processor for one generation after `prompt`.

        The prompt ends in `<|start|>assistant` or in what the assistant has begun to say, such as
        `<|channel|>final<|message|>`.

        Raises:
            ValueError: the grammar does not allow what has been begun.
        """
        begun = prompt[len(prompt) - list(reversed(prompt)).index(START) :]
        state = STARTED
        for token in begun:
            state = self.step(state, token)
        arguments = self.matcher(state)
        if arguments is not None:
            arguments.consume_tokens(list(begun[list(begun).index(MESSAGE) + 1 :]))
        return HeaderProcessor(self, state, arguments)

    def step(self, state: int, token: int) -> int:
        """Return the state after `token`, on the host.

        Raises:
            ValueError: `token` is not allowed in `state`.
        """
        if token in self.edges[state]:
            return self.edges[state][token]
        if state in self.contents and token < vocabulary.FIRST_SPECIAL_ID:
            return state
        raise ValueError(f"token {token} is not allowed here")

    def next_state(self, state: mx.array, token: mx.array) -> mx.array:
        """Return the state after `token`, lazily; all three are (1,) int32."""
        return self._next[state, self._label[token]]

    def allowed(self, state: mx.array) -> mx.array:
        """Return which ids may come next, lazily: (1,) int32 to (1, vocabulary) bool."""
        return self._masks[self._mask_of[state]]

    def matcher(self, state: int) -> LLMatcher | None:
        """Return a fresh matcher of the arguments that `state` holds, or None where text is free."""
        if state not in self.schemas:
            return None
        schema, or_patch = self.schemas[state]
        return json_grammar.matcher(schema, or_patch=or_patch)

    def may_be_in_arguments(self, state: int, more_tokens: int) -> bool:
        """Whether `more_tokens` after `state`, the text can be arguments with a schema."""
        return self._steps_to_arguments.get(state, more_tokens + 1) <= more_tokens

    def _add(self, header: Sequence[Part], content: int) -> None:
        *inside, last = _ids(header)
        state = HEADER
        for token in inside:
            if token not in self.edges[state]:
                self.edges[state][token] = len(self.edges)
                self.edges.append({})
            state = self.edges[state][token]
        self.edges[state][last] = content

    def _count_steps_to_arguments(self) -> dict[int, int]:
        steps = dict.fromkeys(self.schemas, 0)
        for distance in itertools.count(1):
            leads_there = [not steps.keys().isdisjoint(edges.values()) for edges in self.edges]
            found = [state for state, leads in enumerate(leads_there) if leads and state not in steps]
            if not found:
                break
            steps |= dict.fromkeys(found, distance)
        return steps

    def _lay_out_tables(self) -> None:
        # Ids that lead nowhere share label 0. Many states allow the same ids, so masks are fewer than states.
        labelled = sorted({token for edges in self.edges for token in edges})
        label = np.zeros(vocabulary.VOCABULARY_SIZE, np.int32)
        label[labelled] = np.arange(1, len(labelled) + 1)
        following = np.repeat(np.arange(len(self.edges), dtype=np.int32)[:, None], len(labelled) + 1, axis=1)
        for state, edges in enumerate(self.edges):
            following[state, label[list(edges)]] = list(edges.values())
        kinds = [(state in self.contents, frozenset(edges)) for state, edges in enumerate(self.edges)]
        rows = {kind: row for row, kind in enumerate(dict.fromkeys(kinds))}
        masks = np.zeros((len(rows), vocabulary.VOCABULARY_SIZE), np.bool_)
        for (is_content, tokens), row in rows.items():
            masks[row, : vocabulary.FIRST_SPECIAL_ID] = is_content
            masks[row, list(tokens)] = True
        self._label = mx.array(label)
        self._next = mx.array(following)
        self._mask_of = mx.array(np.array([rows[kind] for kind in kinds], np.int32))
        self._masks = mx.array(masks)


class HeaderProcessor:
    """One generation's way through a grammar: mlx-lm calls it once a step with all tokens and the next one's logits.

    It must not learn too late that arguments have begun, for their first token already has a schema to satisfy; but to
    ask the device at every token would stall decoding. So it reads a state that is two tokens old, which costs nothing,
    and waits for the newest only if those two tokens can have led into arguments: at the end of a header that names a
    tool. From there on it waits once a token, until the call ends.
    """

    def __init__(self, grammar: HeaderGrammar, start: int, arguments: LLMatcher | None) -> None:
        self._grammar = grammar
        self._start = mx.array([start], dtype=mx.int32)
        self._states: deque[mx.array] = deque(maxlen=_LAG + 1)
        self._arguments = arguments

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """Return `logits` (1, vocabulary) with -inf where `tokens` (n,) int32 cannot go on."""
        if not self._states:  # the first time, the last token belongs to the prompt
            self._states.append(self._start)
        elif self._arguments is None:
            self._states.append(self._grammar.next_state(self._states[-1], tokens[-1:]))
        else:  # the state stays what it is, and nothing lazy piles up
            self._arguments.consume_token(_wait_for(tokens[-1]))
        if self._arguments is None and self._may_be_in_arguments():
            self._arguments = self._grammar.matcher(_wait_for(self._states[-1]))
        return mx.where(self._allowed(), logits, -mx.inf)

    def _may_be_in_arguments(self) -> bool:
        settled = cast("int", self._states[0].item())
        return self._grammar.may_be_in_arguments(settled, len(self._states) - 1)

    def _allowed(self) -> mx.array:
        if self._arguments is not None:
            bias = self._arguments.compute_logit_bias()  # (vocabulary,) bytes, not 0 where allowed
            if not self._arguments.is_error():
                return mx.array(np.frombuffer(bias, np.uint8)) != 0
        return self._grammar.allowed(self._states[-1])


def _wait_for(newest: mx.array) -> int:
    """Return a number that the device may still be busy with: the host waits, and decoding with it."""
    return cast("int", newest.item())


def _tool_headers(recipient: str) -> Iterator[tuple[Part, ...]]:
    """Yield the headers of a call: the recipient in the channel part or the role part, with a content type or none.

    Tools of the system message belong on analysis, functions on commentary, but gpt-oss mixes them: to forbid a channel
    would not move the call, it would lose it.
    """
    for channel in ("commentary", "analysis"):
        for content_type in ((), (" code",), (" json",), (" ", CONSTRAIN, "json"), (CONSTRAIN, "json")):
            yield (CHANNEL, channel + recipient, *content_type, MESSAGE)
            yield (recipient, CHANNEL, channel, *content_type, MESSAGE)


def _ids(parts: Sequence[Part]) -> list[int]:
    return [token for part in parts for token in ([part] if isinstance(part, int) else _encoded(part))]


@lru_cache(maxsize=4096)
def _encoded(text: str) -> list[int]:
    return encoding.encode_text(text)

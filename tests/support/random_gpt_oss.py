"""A gpt-oss with random weights, and a reading of what it writes that owes nothing to the
grammar: what the grammar promises can be counted on a model that knows no Harmony at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema
import mlx.core as mx
from mlx_lm.generate import BatchGenerator
from mlx_lm.models import gpt_oss

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding
from gptoss_acp.harmony.header_grammar import HeaderGrammar
from gptoss_acp.harmony.render import ASSISTANT_START
from gptoss_acp.tool_description import ToolDescription

CONTROL_IDS = (
    vocabulary.RETURN,
    vocabulary.CONSTRAIN,
    vocabulary.CHANNEL,
    vocabulary.START,
    vocabulary.END,
    vocabulary.MESSAGE,
    vocabulary.CALL,
)
LOUD_TEXTS = (" to", '"', "}", "]")
"""What begins a recipient and ends JSON, so that there are calls and they are complete."""

TOOLS = (
    ToolDescription(
        "read_file",
        "Read a file.",
        {
            "type": "object",
            "properties": {"path": {"type": "string"}, "lines": {"type": "integer", "minimum": 0, "maximum": 99}},
            "required": ["path"],
            "additionalProperties": False,
        },
    ),
    ToolDescription("read", "Read the clock.", {"type": "object", "properties": {}, "additionalProperties": False}),
    ToolDescription(
        "plan",
        "Set a state.",
        {
            "type": "object",
            "properties": {"state": {"enum": ["new", "done"]}, "steps": {"type": "array", "items": {"type": "string"}}},
            "required": ["state", "steps"],
            "additionalProperties": False,
        },
    ),
    ToolDescription("apply_patch", "Change files.", {"type": "string"}),
)


class RandomGptOss(gpt_oss.Model):  # type: ignore[misc] # mlx-lm has no types
    """Two layers, the whole vocabulary. Control tokens come often, so messages are short and headers many."""

    def __init__(self, seed: int) -> None:
        mx.random.seed(seed)
        super().__init__(
            gpt_oss.ModelArgs(
                num_hidden_layers=2,
                hidden_size=32,
                intermediate_size=32,
                num_local_experts=2,
                num_experts_per_tok=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=32,
            )
        )
        loudness = mx.zeros(vocabulary.VOCABULARY_SIZE)
        loudness[mx.array(CONTROL_IDS)] = 14.0
        loudness[mx.array([encoding.encode_text(text) for text in LOUD_TEXTS])] = 14.0
        self._loudness = loudness  # (vocabulary,)

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits: mx.array = super().__call__(inputs, cache)  # (batch, tokens, vocabulary)
        return logits + self._loudness


@dataclass(frozen=True)
class Written:
    """A message as sampled. `stop` is the special id that ended its content, None where the output was cut short."""

    header: str
    content: tuple[int, ...]
    stop: int | None

    @property
    def recipient(self) -> str | None:
        found = re.search(r" to=(\S+?)(?=$| |<\|)", self.header)
        return found and found[1]


def sample(
    model: Any, grammar: HeaderGrammar | None, *, count: int, seed: int, begun: Sequence[int] = (), max_tokens: int = 60
) -> list[list[int]]:
    """Sample `count` generations at temperature 1, many at once, each beginning with `begun`.

    Each is what follows `<|start|>assistant`, up to a stop token or `max_tokens` more.
    """
    mx.random.seed(seed)
    prompts = [[*ASSISTANT_START, *begun]] * count
    sampled = generate(model, grammar, prompts, sampler=mx.random.categorical, max_tokens=max_tokens)
    return [[*begun, *ids] for ids in sampled]


def generate(
    model: Any,
    grammar: HeaderGrammar | None,
    prompts: Sequence[list[int]],
    *,
    sampler: Callable[[mx.array], mx.array],
    max_tokens: int,
) -> list[list[int]]:
    """Generate after all `prompts` in one batch, by the grammar if there is one."""
    stops = [[vocabulary.RETURN], [vocabulary.CALL]]
    batch = BatchGenerator(model, max_tokens=max_tokens, stop_tokens=stops, sampler=sampler)
    processors = [[grammar.processor(prompt)] if grammar else [] for prompt in prompts]
    uids = batch.insert(list(prompts), logits_processors=processors)
    sampled: dict[int, list[int]] = {uid: [] for uid in uids}
    running = len(prompts)
    while running:
        for response in batch.next_generated():
            sampled[response.uid].append(response.token)
            running -= response.finish_reason is not None
    batch.close()
    return list(sampled.values())


def read(sampled: Sequence[int]) -> Iterator[Written]:
    """Cut sampled ids into messages: a header ends at `<|message|>`, content at the next special id."""
    header: list[int] = []
    content: list[int] | None = None
    for token in sampled:
        if content is None:
            header.append(token)
            content = [] if token == vocabulary.MESSAGE else None
        elif token < vocabulary.FIRST_SPECIAL_ID:
            content.append(token)
        else:
            yield Written(encoding.load().decode(header), tuple(content), token)
            header, content = [], None
    if header:
        yield Written(encoding.load().decode(header), tuple(content or ()), None)


def is_well_formed(message: Written, *, first: bool) -> bool:
    """Whether the header is one that gpt-oss is trained to write, and the stop token the one that fits it."""
    json_type = r"(?: ?<\|constrain\|>json)?"
    recipient = r" to=\S+"
    shapes = {
        r"<\|channel\|>(?:analysis|commentary)": vocabulary.END,
        r"<\|channel\|>final": vocabulary.RETURN,
        rf"<\|channel\|>(?:analysis|commentary){recipient}{json_type}": vocabulary.CALL,
        rf"{recipient}<\|channel\|>(?:analysis|commentary){json_type}": vocabulary.CALL,
    }
    start = "" if first else r"<\|start\|>assistant"
    return any(
        re.fullmatch(rf"{start}{shape}<\|message\|>", message.header) and message.stop in {stop, None}
        for shape, stop in shapes.items()
    )


def satisfies_schema(message: Written, tools: Sequence[ToolDescription]) -> bool:
    """Whether the arguments of a call are JSON as its tool wants it; free text always is."""
    parameters = next(tool.parameters for tool in tools if f"functions.{tool.name}" == message.recipient)
    if parameters["type"] == "string":
        return True
    try:
        jsonschema.validate(json.loads(encoding.load().decode(message.content)), parameters)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True

"""Which ids may come next in JSON that must satisfy a schema, by llguidance.

Knows the vocabulary's bytes and JSON schemas. Knows nothing about headers, tools or MLX.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from itertools import permutations
from typing import Any

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding

_JSON_RULES = {
    "lenient": True,  # a keyword that llguidance cannot enforce is left to whoever validates the arguments
    "whitespace_pattern": r"[ \n\t\r]{1,64}",  # without a bound, a model that is at a loss writes blanks forever
}
_ARGUMENTS = r"""
start: BLANK? (%s) BLANK?
object: %%json %s
patch: /\*\*\* Begin Patch(.|\n)*/
BLANK: /[ \n\t\r]{1,64}/
"""
_MOST_IN_ANY_ORDER = 5
"""Properties of a tool that may come in any order, each of which is a grammar of its own: 120 of five."""

_PUT_TOGETHER = {"allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "$ref"}
"""What a schema shares the naming of its properties with (JSON Schema, 10.2)."""


@cache
def tokenizer() -> LLTokenizer:
    """Return llguidance's view of the vocabulary; arguments end in `<|call|>`.

    The first call takes about a second on a slow core and holds the interpreter lock meanwhile, so it is better made
    while a model loads than in the middle of a generation.
    """
    return LLTokenizer(TokenizerWrapper(_Vocabulary()), n_vocab=vocabulary.VOCABULARY_SIZE, eos_token=vocabulary.CALL)


def matcher(schema: str, *, or_patch: bool = False) -> LLMatcher | None:
    """Return a fresh matcher of JSON that satisfies `schema` (itself JSON), or None where llguidance cannot follow it.

    Blanks may stand around the JSON, and its properties in any order while they are few; llguidance by itself holds to
    the order of the schema. What the schema does not name is not allowed, nor inside, unless it is put together from
    others (`anyOf`, `if` and such), of which each names only some. With `or_patch`, a bare patch
    may stand for it. The first call for a schema compiles it: about a millisecond, for a very large schema a hundred.
    """
    compiled = _compile(schema, or_patch=or_patch)
    return compiled and compiled.deep_copy()


@lru_cache(maxsize=256)
def _compile(schema: str, *, or_patch: bool) -> LLMatcher | None:
    told = _in_any_order(_closed(json.loads(schema))) | {"x-guidance": _JSON_RULES}
    grammar = _ARGUMENTS % ("object | patch" if or_patch else "object", json.dumps(told))
    try:
        compiled = LLMatcher(tokenizer(), LLMatcher.grammar_from_lark(grammar), log_level=0)
    except ValueError:
        return None
    return None if compiled.is_error() else compiled


def _closed(schema: Any) -> Any:
    """Return `schema` without room for properties that it does not name, wherever it names some."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict) or not schema.keys().isdisjoint(_PUT_TOGETHER):
        return schema
    closed = {name: _closed(value) for name, value in schema.items() if name != "properties"}
    if not isinstance(properties := schema.get("properties"), dict):
        return schema if "properties" in schema else closed
    named = {name: _closed(value) for name, value in properties.items()}
    return {"additionalProperties": False} | closed | {"properties": named}


def _in_any_order(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not 2 <= len(properties) <= _MOST_IN_ANY_ORDER:
        return schema
    orders = permutations(properties.items())
    return {"anyOf": [schema | {"properties": dict(order)} for order in orders]}


class _Vocabulary:
    """What TokenizerWrapper asks of a tokenizer. Special ids have no text, so no JSON can hold them."""

    eos_token_id = vocabulary.CALL
    bos_token_id = None

    def __init__(self) -> None:
        self.special_token_ids = list(range(vocabulary.FIRST_SPECIAL_ID, vocabulary.VOCABULARY_SIZE))
        self.tokens = vocabulary.token_bytes() + [b"<|special|>"] * len(self.special_token_ids)

    def __call__(self, text: bytes) -> list[int]:
        return encoding.encode_text(text.decode("utf-8"))

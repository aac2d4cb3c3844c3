"""Which ids may come next in JSON that must satisfy a schema, by llguidance.

Knows the vocabulary's bytes and JSON schemas. Knows nothing about headers, tools or MLX.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from gptoss_acp import vocabulary
from gptoss_acp.harmony import encoding

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_JSON_RULES: JsonCompileOptions = {
    "lenient": True,  # a keyword that llguidance cannot enforce is left to whoever validates the arguments
    "whitespace_pattern": r"[ \n\t\r]{1,64}",  # without a bound, a model that is at a loss writes blanks forever
}


@cache
def tokenizer() -> LLTokenizer:
    """Return llguidance's view of the vocabulary; arguments end in `<|call|>`.

    The first call takes about a second on a slow core and holds the interpreter lock meanwhile, so it is better made
    while a model loads than in the middle of a generation.
    """
    return LLTokenizer(TokenizerWrapper(_Vocabulary()), n_vocab=vocabulary.VOCABULARY_SIZE, eos_token=vocabulary.CALL)


def matcher(schema: str) -> LLMatcher | None:
    """Return a fresh matcher of JSON that satisfies `schema` (itself JSON), or None where llguidance cannot follow it.

    The first call for a schema compiles it: about a millisecond, for a very large schema a hundred.
    """
    compiled = _compile(schema)
    return compiled and compiled.deep_copy()


@lru_cache(maxsize=256)
def _compile(schema: str) -> LLMatcher | None:
    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_JSON_RULES)
    except ValueError:
        return None
    compiled = LLMatcher(tokenizer(), grammar, log_level=0)
    return None if compiled.is_error() else compiled


class _Vocabulary:
    """What TokenizerWrapper asks of a tokenizer. Special ids have no text, so no JSON can hold them."""

    eos_token_id = vocabulary.CALL
    bos_token_id = None

    def __init__(self) -> None:
        self.special_token_ids = list(range(vocabulary.FIRST_SPECIAL_ID, vocabulary.VOCABULARY_SIZE))
        self.tokens = vocabulary.token_bytes() + [b"<|special|>"] * len(self.special_token_ids)

    def __call__(self, text: bytes) -> list[int]:
        return encoding.encode_text(text.decode("utf-8"))

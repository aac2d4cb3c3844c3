"""What a checkpoint's config.json says that its model computes, field by field.

A field that changes a number is either honoured or the checkpoint is refused with the field's name: what is computed
otherwise in silence looks like a bad model. Knows the fields that OpenAI, transformers 4 and 5, and mlx-lm write. Knows
nothing about files or arrays.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gptoss_acp.engine.api import EngineError
from gptoss_acp.vocabulary import VOCABULARY_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

SLIDING, FULL = "sliding_attention", "full_attention"

WITHOUT_EFFECT = frozenset(
    {
        "_name_or_path",
        "architectures",
        "attention_dropout",
        "bos_token_id",
        "do_sample",
        "dtype",
        "eos_token_id",
        "initializer_range",
        "output_router_logits",
        "pad_token_id",
        "quantization",
        "router_aux_loss_coef",
        "temperature",
        "top_p",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Fields of training, of sampling, or of other programs; what is quantised is seen from the weights themselves."""

ADVICE = "Choose a checkpoint that computes what OpenAI's does, such as openai/gpt-oss-20b."
LONGEST_VALUE = 60
"""Characters of a field's value in a message."""

# Positions are counted in float32, which tells them apart up to here; nothing else of a model is larger.
LARGEST = 2**24

Size = Annotated[int, Field(gt=0, le=LARGEST)]
# Beyond these float32 makes 0 or infinity of it, or of what is computed with it.
Factor = Annotated[float, Field(ge=1e-12, le=1e12, allow_inf_nan=False)]
Base = Annotated[float, Field(gt=1, le=1e12, allow_inf_nan=False)]


class UnusableConfigError(EngineError):
    """The config asks for what this program does not compute; the message names the fields."""


class Rope(BaseModel):
    """How positions are told: by YaRN (arXiv 2309.00071), or plainly with the type `default`.

    Every field changes the numbers, so none may be unknown. `truncate` rounds the range of frequencies that are
    stretched in part: gpt-oss was trained without, and the format's default is with.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    rope_type: Literal["yarn", "default"] = Field(validation_alias=AliasChoices("rope_type", "type"))
    rope_theta: Base = 150_000.0
    factor: Annotated[float, Field(ge=1, le=LARGEST, allow_inf_nan=False)] = 1.0
    beta_fast: Factor = 32.0
    beta_slow: Factor = 1.0
    original_max_position_embeddings: Size = 4096
    truncate: bool = True
    attention_factor: Factor | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.rope_type == "yarn" and not self.model_fields_set >= {"factor", "original_max_position_embeddings"}:
            raise ValueError("yarn needs factor and original_max_position_embeddings")
        return self


AS_TRAINED = Rope(rope_type="yarn", factor=32.0, original_max_position_embeddings=4096, truncate=False)


class Quantization(BaseModel):
    """How others than mlx-lm pack the experts."""

    model_config = ConfigDict(frozen=True, extra="allow")

    quant_method: Literal["mxfp4"] | None = None


class Architecture(BaseModel):
    """The model that a config.json describes, under the names of its fields; sizes have no defaults.

    `experts_per_token`, `num_experts` and `initial_context_length` are other names for what is said elsewhere too.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    model_type: Literal["gpt_oss"]
    vocab_size: Annotated[int, Field(ge=VOCABULARY_SIZE, le=VOCABULARY_SIZE)]
    num_hidden_layers: Annotated[int, Field(gt=0, le=1_000)]
    hidden_size: Size
    intermediate_size: Size
    num_local_experts: Size
    num_experts_per_tok: Size
    num_attention_heads: Size
    num_key_value_heads: Size
    head_dim: Annotated[int, Field(gt=0, le=LARGEST, multiple_of=2)]
    sliding_window: Size
    layer_types: list[Literal["sliding_attention", "full_attention"]] | None = None
    max_position_embeddings: Size = 131_072
    rms_norm_eps: Factor = 1e-5
    swiglu_limit: Factor = 7.0
    swiglu_alpha: Factor = 1.702
    rope_theta: Base | None = None
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None  # transformers 5

    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[True] = True
    tie_word_embeddings: Literal[False] = False
    quantization_config: Quantization | None = None
    quantize_activations: Literal[False] = False
    model_file: None = None  # code of the checkpoint's own, for mlx-lm
    auto_map: None = None  # the same for transformers

    experts_per_token: int | None = None
    num_experts: int | None = None
    initial_context_length: int | None = None

    @property
    def attention(self) -> list[str]:
        """The kind of attention of each layer."""
        return list(self.layer_types or ([SLIDING, FULL] * self.num_hidden_layers)[: self.num_hidden_layers])

    @property
    def bytes_per_token(self) -> int:
        """What a token adds to the full layers' caches in bfloat16; the sliding ones' do not grow."""
        return self.attention.count(FULL) * 2 * self.num_key_value_heads * self.head_dim * 2

    @property
    def rope(self) -> Rope:
        """How positions are told; where the config is silent, as gpt-oss was trained."""
        given = self.rope_parameters or self.rope_scaling or AS_TRAINED
        if self.rope_theta is None or "rope_theta" in given.model_fields_set:
            return given
        return given.model_copy(update={"rope_theta": self.rope_theta})

    @property
    def unknown_fields(self) -> list[str]:
        return sorted(set(self.model_extra or ()) - WITHOUT_EFFECT)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if problems := list(self._contradictions()):
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        layers, heads, kv_heads = self.num_hidden_layers, self.num_attention_heads, self.num_key_value_heads
        if len(self.attention) != layers:
            yield f"layer_types has {len(self.attention)} layers and num_hidden_layers is {layers}"
        if set(self.attention) != {SLIDING, FULL}:
            yield "layer_types must have sliding and full attention"
        if heads % kv_heads:
            yield f"num_attention_heads ({heads}) is no multiple of num_key_value_heads ({kv_heads})"
        if self.num_experts_per_tok > self.num_local_experts:
            yield "num_experts_per_tok is more than num_local_experts"
        if self.sliding_window > self.max_position_embeddings:
            yield "sliding_window is more than max_position_embeddings"
        for name, other, value in (
            ("experts_per_token", "num_experts_per_tok", self.num_experts_per_tok),
            ("num_experts", "num_local_experts", self.num_local_experts),
            ("initial_context_length", "original_max_position_embeddings", self.rope.original_max_position_embeddings),
            ("rope_theta", "the one of rope_parameters", self.rope.rope_theta),
            ("rope_scaling", "rope_parameters", self.rope_parameters or self.rope_scaling),
        ):
            if getattr(self, name) not in {None, value}:
                yield f"{name} is not {other}"


def parse(config: dict[str, Any]) -> Architecture:
    """Return what a gpt-oss config.json says.

    Raises:
        UnusableConfigError: it asks for what this program does not compute.
    """
    try:
        return Architecture.model_validate(config)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors(include_url=False)[:3])
    raise UnusableConfigError(f"its config.json says what this program does not compute: {problems}. {ADVICE}")


def _problem(detail: Any) -> str:
    name = ".".join(map(str, detail["loc"]))
    if detail["type"] == "missing":
        return f"{name} is missing"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    value = json.dumps(detail["input"], default=str)[:LONGEST_VALUE]
    reason = "it is unknown" if detail["type"] == "extra_forbidden" else detail["msg"].lower()
    return f"{name} is {value} ({reason})"

"""What a config.json asks for is honoured, or refused by the field's name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.engine import architecture, bundled, checkpoints, weights
from gptoss_acp.engine.api import EngineError
from gptoss_acp.engine.architecture import AS_TRAINED, FULL, SLIDING, Rope, UnusableConfigError
from scripts import make_checkpoint
from tests.support import random_checkpoint

CONFIG = make_checkpoint.config(make_checkpoint.SHAPES["20b"])
YARN = CONFIG["rope_scaling"]
GONE = object()


def config(**fields: Any) -> dict[str, Any]:
    """Return gpt-oss-20b's config with some fields changed, or GONE."""
    return {name: value for name, value in {**CONFIG, **fields}.items() if value is not GONE}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hidden_act": "gelu"}, 'hidden_act is "gelu"'),
        ({"attention_bias": False}, "attention_bias is false"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is true"),
        ({"vocab_size": 1000}, "vocab_size is 1000"),
        ({"max_position_embeddings": 10**30}, "max_position_embeddings is 10000"),
        ({"max_position_embeddings": 1e30}, r"max_position_embeddings is 1e\+30"),
        ({"max_position_embeddings": None}, "max_position_embeddings is null"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hidden_size": GONE}, "hidden_size is missing"),
        ({"head_dim": 63}, "head_dim is 63"),
        ({"num_key_value_heads": 7}, r"num_attention_heads \(64\) is no multiple of num_key_value_heads \(7\)"),
        ({"num_experts_per_tok": 33}, "num_experts_per_tok is more than num_local_experts"),
        ({"experts_per_token": 2}, "experts_per_token is not num_experts_per_tok"),
        ({"num_experts": 128}, "num_experts is not num_local_experts"),
        ({"sliding_window": None}, "sliding_window is null"),
        ({"sliding_window": 10**30}, "sliding_window is 10000"),
        ({"sliding_window": 131_073}, "sliding_window is more than max_position_embeddings"),
        ({"hidden_size": 10**4000}, "hidden_size is 10{59} "),
        ({"num_local_experts": 2**25}, "num_local_experts is 33554432"),
        ({"head_dim": 2**25}, "head_dim is 33554432"),
        ({"layer_types": [SLIDING, FULL]}, "layer_types has 2 layers and num_hidden_layers is 24"),
        ({"layer_types": [FULL] * 24}, "layer_types must have sliding and full"),
        ({"layer_types": ["chunked_attention", FULL] * 12}, r"layer_types\.0 is \"chunked_attention\""),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps is -1.0"),
        ({"swiglu_limit": None}, "swiglu_limit is null"),
        ({"swiglu_limit": float("nan")}, "swiglu_limit is NaN"),
        ({"swiglu_alpha": "much"}, 'swiglu_alpha is "much"'),
        ({"swiglu_limit": 1e300}, r"swiglu_limit is 1e\+300"),
        ({"rms_norm_eps": 1e-320}, "rms_norm_eps is 1e-320"),
        ({"rope_theta": 0}, "rope_theta is 0"),
        ({"rope_theta": 1}, "rope_theta is 1 "),
        ({"rope_theta": 1e300}, r"rope_theta is 1e\+300"),
        ({"rope_theta": 10**400}, "rope_theta is 1000"),
        ({"rope_scaling": {**YARN, "factor": 1e300}}, r"rope_scaling.factor is 1e\+300"),
        ({"rope_scaling": {**YARN, "beta_slow": 1e-320}}, "rope_scaling.beta_slow is 1e-320"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, 'rope_scaling.rope_type is "linear"'),
        ({"rope_scaling": {"rope_type": "yarn"}}, "yarn needs factor"),
        ({"rope_scaling": {**YARN, "mscale": 1.0}}, "rope_scaling.mscale is 1.0"),
        ({"rope_scaling": GONE, "rope_parameters": {FULL: YARN}}, "rope_parameters.full_attention"),
        ({"rope_parameters": {**YARN, "factor": 4.0}}, "rope_scaling is not rope_parameters"),
        ({"rope_parameters": {**YARN, "rope_theta": 10_000.0}}, "rope_theta is not the one of rope_parameters"),
        ({"initial_context_length": 8192}, "initial_context_length is not original_max_position_embeddings"),
        ({"quantization_config": {"quant_method": "fp8"}}, 'quantization_config.quant_method is "fp8"'),
        ({"quantize_activations": True}, "quantize_activations is true"),
        ({"model_file": "model.py"}, 'model_file is "model.py"'),
        ({"auto_map": {"AutoModel": "model.Model"}}, "auto_map is"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)
def test_what_would_be_computed_otherwise_is_refused_by_name(
    fields: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableConfigError, match=f"{named}.*Choose a checkpoint") as refused:
        architecture.parse(config(**fields))
    assert "trust_remote_code" not in str(refused.value)
    (tmp_path / "config.json").write_text(json.dumps(config(**fields)))
    with pytest.raises(EngineError, match="someone/model can't be used: "):
        checkpoints.damage("someone/model", tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rope_scaling": GONE, "rope_theta": GONE, "rope_parameters": {**YARN, "rope_theta": 150_000.0}},
        {"rope_scaling": {**YARN, "rope_type": GONE, "type": "yarn"}},
        {"rope_scaling": GONE, "rope_theta": GONE, "initial_context_length": GONE},
        {"rope_scaling": None},
    ],
    ids=["as published", "by transformers 5", "by an older name", "without a word", "with nothing"],
)
def test_positions_are_read_from_wherever_they_are_told(fields: dict[str, Any]) -> None:
    if "rope_scaling" in fields and isinstance(fields["rope_scaling"], dict):
        fields["rope_scaling"] = {name: value for name, value in fields["rope_scaling"].items() if value is not GONE}
    assert architecture.parse(config(**fields)).rope == AS_TRAINED


def test_other_positions_than_gpt_oss_was_trained_on_are_honoured() -> None:
    told: dict[str, Any] = {
        "rope_type": "yarn",
        "factor": 8.0,
        "original_max_position_embeddings": 8192,
        "truncate": False,
    }
    rope = architecture.parse(config(rope_scaling=told, rope_theta=10_000, initial_context_length=8192)).rope
    assert rope == Rope(**told, rope_theta=10_000.0)
    plain = architecture.parse(config(rope_scaling={"rope_type": "default"}, rope_theta=10_000)).rope
    assert (plain.rope_type, plain.rope_theta) == ("default", 10_000.0)


def test_layers_alternate_where_nothing_is_said_also_when_they_are_odd() -> None:
    assert architecture.parse(config(layer_types=GONE, num_hidden_layers=3)).attention == [SLIDING, FULL, SLIDING]


def test_the_configs_of_this_repository_have_no_unknown_fields() -> None:
    for known in (CONFIG, random_checkpoint.CONFIG, bundled.config()):
        assert architecture.parse(known).unknown_fields == []


def test_a_field_that_nobody_knows_is_logged(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in checkpoint.iterdir():
        (tmp_path / file.name).symlink_to(file)
    said = json.loads((checkpoint / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**said, "attention_chunks": 3, "use_cache": True}))
    with caplog.at_level(logging.WARNING):
        weights.load(tmp_path)
    assert "config.json that nobody here knows: attention_chunks" in caplog.text
    assert "use_cache" not in caplog.text

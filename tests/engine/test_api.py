"""The engine's interface: what its figures come to, and what its errors say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gptoss_acp.engine.api import Figures, PromptTooLongError, Usage


def test_the_first_token_belongs_to_the_prefill_and_not_to_the_rate() -> None:
    figures = Figures(generated_tokens=11, first_token_seconds=3.0, decode_seconds=2.0)
    assert (figures.decoded_tokens, figures.tokens_per_second) == (10, 5.0)


@pytest.mark.parametrize("generated", [0, 1])
def test_few_tokens_have_no_rate(generated: int) -> None:
    figures = Figures(generated_tokens=generated)
    assert (figures.decoded_tokens, figures.tokens_per_second) == (0, 0.0)


def test_usage_adds_generations_up_and_weighs_their_rates_by_tokens() -> None:
    usage = Usage()
    assert usage.tokens_per_second is None
    usage.add(Figures(prompt_tokens=100, cached_tokens=80, generated_tokens=11, decode_seconds=1.0))
    usage.add(Figures(prompt_tokens=50, cached_tokens=0, generated_tokens=31, decode_seconds=3.0))
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (150, 80, 42)
    assert usage.tokens_per_second == 10.0


def test_a_prompt_that_is_too_long_says_what_to_do() -> None:
    assert "has 9000 tokens, but the context holds 8192" in str(PromptTooLongError(9000, 8192))


def test_the_interface_costs_no_import_of_mlx() -> None:
    rooms = ("api", "generation", "messages", "thread", "mlx_engine", "checkpoints", "scripted")
    imports = "; ".join(f"import gptoss_acp.engine.{room}" for room in rooms)
    check = "import sys; assert not {'mlx', 'mlx_lm', 'huggingface_hub', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{imports}; {check}"], check=True)

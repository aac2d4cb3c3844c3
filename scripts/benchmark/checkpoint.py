"""What the benchmark has to know of a checkpoint: how large its contexts are, and how to give it to mlx-lm's server.

The server wants a folder with a tokenizer and a chat template. Where there is none, they are made from the vocabulary
in package data: openai-harmony's, as a file of the `tokenizers` package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.figures import BenchError
from benchmark.prompts import opening
from gptoss_acp import vocabulary
from gptoss_acp.engine import bundled, checkpoints
from gptoss_acp.harmony import encoding

_PIECES = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
)
"""How o200k cuts a text into pieces before it merges bytes (openai/tiktoken, tiktoken_ext/openai_public.py)."""

_SPECIALS = {
    vocabulary.RETURN: "<|return|>",
    vocabulary.CONSTRAIN: "<|constrain|>",
    vocabulary.CHANNEL: "<|channel|>",
    vocabulary.START: "<|start|>",
    vocabulary.END: "<|end|>",
    vocabulary.MESSAGE: "<|message|>",
    vocabulary.CALL: "<|call|>",
    199998: "<|startoftext|>",
    199999: "<|endoftext|>",
}

_TEMPLATE = """\
SYSTEM{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{ '<|start|>developer<|message|>' + message.content + '<|end|>' }}
{%- elif message.role == 'assistant' -%}
{{ '<|start|>assistant<|channel|>final<|message|>' + message.content + '<|end|>' }}
{%- else -%}
{{ '<|start|>user<|message|>' + message.content + '<|end|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start|>assistant' }}{%- endif -%}"""


def contexts_gb(model: str, tokens: int) -> float:
    """Return the GB (10^9 bytes) that the full-attention layers' keys and values of `tokens` take."""
    import mlx.core as mx

    config = _config(model)
    full = config["layer_types"].count("full_attention")
    # On a CPU everything is computed in float32.
    itemsize = 4 if mx.default_device() == mx.cpu or config.get("torch_dtype") == "float32" else 2
    return float(2 * full * config["num_key_value_heads"] * config["head_dim"] * itemsize * tokens / 1e9)


def served_folder(model: str, folder: Path) -> Path:
    """Return a folder that mlx-lm's server can load: the checkpoint's own, or one made in `folder`."""
    source = checkpoints.find(model)
    if source is not None and (source / "tokenizer.json").is_file():
        return source
    if source is None:
        import safetensors.numpy

        (folder / "config.json").write_text(json.dumps(bundled.config()), encoding="utf-8")
        safetensors.numpy.save_file(bundled.weights(), folder / "model.safetensors", {"format": "pt"})
    else:
        for file in source.iterdir():
            (folder / file.name).symlink_to(file.resolve())
    _write_tokenizer(folder)
    return folder


def _config(model: str) -> dict[str, Any]:
    source = checkpoints.find(model)
    if source is None:
        return bundled.config()
    config: dict[str, Any] = json.loads((source / "config.json").read_text("utf-8"))
    return config


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    ids, merges = _vocabulary()
    tokenizer = Tokenizer(models.BPE(ids, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("|".join(_PIECES)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [_SPECIALS.get(token, f"<|reserved_{token}|>") for token in range(vocabulary.FIRST_SPECIAL_ID, 200_019)]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    text = "Hello, it's 12345 o'clock.\n\n  Grüße: 你好 <|start|>"
    if tokenizer.encode(text).ids != encoding.load().encode(text, allowed_special="all"):
        raise BenchError("the tokenizer made for mlx-lm's server does not encode as openai-harmony does")
    tokenizer.save(str(folder / "tokenizer.json"))
    system, _ = opening()
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|return|>",
        "chat_template": _TEMPLATE.replace("SYSTEM", system),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the ids of all tokens, and the merges that make them, in byte-level BPE's letters for bytes."""
    letters = _byte_letters()
    texts = vocabulary.token_bytes()
    ids = {text: rank for rank, text in enumerate(texts)}
    names = [text.decode("latin-1").translate(letters) for text in texts]
    merges = []
    for text in texts:
        places = [place for place in range(1, len(text)) if text[:place] in ids and text[place:] in ids]
        pairs = sorted((ids[text[:place]], ids[text[place:]]) for place in places)
        merges += [(names[left], names[right]) for left, right in pairs]
    return {name: rank for rank, name in enumerate(names)}, merges


def _byte_letters() -> dict[int, str]:
    """Return the letter that byte-level BPE (GPT-2's) writes for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}

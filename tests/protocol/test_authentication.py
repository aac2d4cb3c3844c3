"""How a client is told that it can get the model ready."""

from __future__ import annotations

from pathlib import Path

import pytest
from acp import schema

from gptoss_acp.protocol import authentication
from gptoss_acp.protocol.capabilities import Capabilities


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("openai/gpt-oss-20b", "Download gpt-oss-20b ("),
        ("someone/another", "Download another"),
        ("tiny", "Check tiny"),
        (str(Path(__file__).parent), "Check protocol"),
    ],
)
def test_the_way_to_prepare_a_model_says_whether_it_is_downloaded(model: str, name: str) -> None:
    (method,) = authentication.methods(model, Capabilities())
    assert method["id"] == authentication.PREPARE_MODEL
    assert method["name"].startswith(name)
    schema.AuthMethodAgent.model_validate(method)


def test_a_client_with_a_terminal_is_offered_the_setup_there(tmp_path: Path) -> None:
    (model := tmp_path / "a model").mkdir()
    _, method = authentication.methods(str(model), Capabilities(terminal_auth=True))
    read = schema.TerminalAuthMethod.model_validate(method)
    assert (method["id"], read.args) == (authentication.SET_UP, ["--model", str(model), "setup"])


def test_the_setup_recommends_a_model_where_nobody_has_named_one() -> None:
    _, method = authentication.methods("openai/gpt-oss-20b", Capabilities(terminal_auth=True))
    assert method["args"] == ["setup"]


@pytest.mark.parametrize("model", ["gpt-oss-2", "/nowhere/at/all", "./nowhere"])
def test_a_name_of_no_model_is_no_reason_to_sign_in(model: str) -> None:
    assert authentication.methods(model, Capabilities(terminal_auth=True)) == []

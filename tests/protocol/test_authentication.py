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
        ("tiny", "Load tiny"),
        ("/models/mine", "Load mine"),
    ],
)
def test_the_way_to_prepare_a_model_says_whether_it_is_downloaded(model: str, name: str) -> None:
    (method,) = authentication.methods(model, Capabilities())
    assert method["id"] == authentication.PREPARE_MODEL
    assert method["name"].startswith(name)
    schema.AuthMethodAgent.model_validate(method)


def test_a_client_with_a_terminal_is_offered_the_setup_there(tmp_path: Path) -> None:
    model = str(tmp_path / "a model")
    _, method = authentication.methods(model, Capabilities(terminal_auth=True))
    read = schema.TerminalAuthMethod.model_validate(method)
    assert (method["id"], read.args) == (authentication.SET_UP, ["--model", model, "setup"])

"""What a client has declared that it can do, whatever shape that has."""

from __future__ import annotations

import pytest

from gptoss_acp.protocol.capabilities import Capabilities


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"clientCapabilities": 3},
        {"clientCapabilities": {"fs": [], "terminal": "yes"}},
        {"clientCapabilities": {"fs": {"readTextFile": 1}}},
        {"clientCapabilities": {"elicitation": {"form": True, "url": None}}},
        {"clientCapabilities": {"elicitation": "form"}},
        {"clientCapabilities": {"auth": {"terminal": "true"}, "session": {"compaction": True, "notices": None}}},
    ],
)
def test_what_is_not_declared_is_not_used(params: object) -> None:
    assert Capabilities.declared(params) == Capabilities()


@pytest.mark.parametrize(
    ("capabilities", "declared"),
    [
        ({"fs": {"readTextFile": True}}, Capabilities(read=True)),
        ({"fs": {"writeTextFile": True}}, Capabilities(write=True)),
        ({"terminal": True}, Capabilities(terminal=True)),
        ({"auth": {"terminal": True}}, Capabilities(terminal_auth=True)),
        ({"session": {"compaction": {}}}, Capabilities(compaction=True)),
        ({"session": {"notices": {}}}, Capabilities(notices=True)),
        ({"elicitation": {"form": {}}}, Capabilities(forms=True)),
        ({"elicitation": {"form": {}, "url": {}}}, Capabilities(forms=True, urls=True)),
    ],
)
def test_what_is_declared_is_used_and_nothing_else(capabilities: object, declared: Capabilities) -> None:
    assert Capabilities.declared({"protocolVersion": 1, "clientCapabilities": capabilities}) == declared


@pytest.mark.parametrize(
    ("client", "told_apart"),
    [
        ("zed", True),
        ("JetBrains.IntelliJ IDEA", True),
        ("agent-shell", True),
        ("Jupyter AI", True),
        ("vscode-acp-client", True),
        ("CodeCompanion.nvim", False),
        ("authorized", False),
        (None, False),  # avante
    ],
)
def test_options_of_one_kind_are_for_clients_that_are_known_to_show_their_names(
    client: str | None, told_apart: object
) -> None:
    params = {"protocolVersion": 1} if client is None else {"clientInfo": {"name": client, "version": "1"}}
    assert Capabilities.declared(params).tells_options_apart == told_apart

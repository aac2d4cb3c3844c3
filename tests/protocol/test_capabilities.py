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
    ],
)
def test_what_is_not_declared_is_not_used(params: object) -> None:
    assert Capabilities.declared(params) == Capabilities()

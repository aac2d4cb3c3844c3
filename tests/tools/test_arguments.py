"""The arguments of tools: what is wrong with them is explained to the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.desk import Desk

WRONG_ARGUMENTS = {
    "{": "the arguments are not valid JSON",
    "[]": "the arguments must be a JSON object",
    "{}": "path: Field required",
    '{"path": 3}': "path: Input should be a valid string",
    '{"path": "a", "line": 3}': "there is no argument line, only path, offset, limit",
    '{"path": "a", "offset": 0}': "offset: Input should be greater than or equal to 1",
    '{"path": "a\\u0000b"}': "it holds a null character",
}


@pytest.mark.parametrize("arguments", WRONG_ARGUMENTS)
async def test_wrong_arguments_are_explained_to_the_model(arguments: str, tmp_path: Path) -> None:
    result = await Desk(tmp_path).call("read_file", arguments)
    assert result.startswith("Error: ")
    assert WRONG_ARGUMENTS[arguments].lower() in result.lower()

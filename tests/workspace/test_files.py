"""Text files on the disk: read within bounds, and changed all at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gptoss_acp.errors import ToolError
from gptoss_acp.workspace import files


def test_a_commit_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    replace = os.replace
    done = []

    def fail_later(*arguments: Any, **options: Any) -> None:
        done.append(arguments)
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        replace(*arguments, **options)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(ToolError, match="no space left on device: b"):
        files.commit([files.Change(tmp_path / name, "1", "2") for name in ("a", "b")])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "1", "b": "1"}

"""What is started for an editor: the engine that the settings ask for, and the trace."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from gptoss_acp.cli import serve
from gptoss_acp.engine.mlx_engine import MlxEngine
from gptoss_acp.engine.scripted import ScriptedEngine
from gptoss_acp.settings import Settings


def test_a_script_is_played_in_place_of_a_model(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"generations": [[1, 2]], "delay": 0}))
    engine = serve.make_engine(Settings(script=script))
    assert isinstance(engine, ScriptedEngine)
    engine.close()


def test_without_one_the_chosen_model_runs() -> None:
    engine = serve.make_engine(Settings(model="tiny"))
    assert isinstance(engine, MlxEngine)
    assert engine.model_name == "tiny"
    engine.close()


@pytest.mark.parametrize("trace", ["{folder}/nowhere/trace", "~nobody-here/trace"])
def test_a_trace_that_can_not_be_written_ends_the_program_with_one_line(trace: str, tmp_path: Path) -> None:
    chosen = Settings(model="tiny", trace=Path(trace.format(folder=tmp_path)))
    with pytest.raises(SystemExit, match=r"--trace can't be written: .*(nowhere|home)"):
        serve.run(chosen, argparse.Namespace())


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"generations": [], "delay": "long"}'])
def test_a_script_that_can_not_be_played_ends_the_program_with_one_line(content: str | None, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    if content is not None:
        script.write_text(content)
    with pytest.raises(SystemExit, match=r"^gptoss-acp: --script can't be played: "):
        serve.make_engine(Settings(script=script))

"""A process that is asked on its stdin and answers on its stdout, a JSON line each. Knows nothing about models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmark.figures import BenchError

SCRIPTS = Path(__file__).resolve().parents[1]


class Child:
    """The process of a module of scripts/, as long as the `with` lasts; then it is killed, wherever it is."""

    def __init__(self, name: str, module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH")))),
                **(variables or {}),
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the answer to `request`.

        Raises:
            BenchError: the process died, answers with an `error`, or with what is no JSON.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        return self.read()

    def read(self) -> Any:
        """Return what the process says next; see `ask`."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise self._death()
        try:
            answer = json.loads(line)
        except ValueError:
            raise BenchError(f"{self._name} says what is no answer: {line.strip()}") from None
        if isinstance(answer, dict) and "error" in answer:
            raise BenchError(f"{self._name}: {answer['error']}")
        return answer

    def _death(self) -> BenchError:
        return BenchError(f"{self._name} died, with exit code {self._process.wait()}")

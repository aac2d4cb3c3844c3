"""The time to the first token of a conversation's fifth turn, beside mlx-lm's own server on the same messages.

The server streams over HTTP and gets the whole history with each request, its own answers in it, as its clients do.
Both get the same time between turns, and what they do with it is their own affair.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from benchmark.checkpoint import served_folder
from benchmark.client import AgentProcess
from benchmark.context import ANSWER_TOKENS, TURNS, conversation, messages
from benchmark.figures import BenchError, Figure, Plan
from benchmark.prompts import opening, rendered

HOST = "127.0.0.1"
LOADING_SECONDS = 300.0


@dataclass(frozen=True)
class Answer:
    """A streamed answer: seconds to its first token, its text, and its prompt's tokens, in all and not read again."""

    seconds: float
    text: str
    prompt_tokens: int
    cached_tokens: int


def measure(plan: Plan) -> list[Figure]:
    context = 2000 if plan.quick else 4000
    ours, theirs = [], []
    arguments = ("--max-tokens", str(ANSWER_TOKENS))
    with tempfile.TemporaryDirectory() as folder, AgentProcess(*plan.agent, *arguments) as agent:
        agent.load()
        with Server(served_folder(plan.model, Path(folder))) as server:
            for run in range(-1, plan.runs):
                turn = conversation(agent, context, seed=run + 1)[-1]
                answer = _conversation(server, context, seed=run + 1)
                if run >= 0:  # the first run warms both up
                    ours.append(turn.first_token_seconds)
                    theirs.append(answer.seconds)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    read = turn.usage("inputTokens") - turn.usage("cachedReadTokens")
    detail = (
        f"{median(ours) * 1000:.0f} / {median(theirs) * 1000:.0f} ms, {read} of {turn.usage('inputTokens')} tokens read"
        f" / {answer.prompt_tokens - answer.cached_tokens} of {answer.prompt_tokens}"
    )
    return [
        Figure(
            f"time to first token, turn {TURNS} at {context:,} tokens / mlx_lm.server",
            median(ratios),
            0.5,
            detail=detail,
            samples={"ours": ours, "server": theirs},
        )
    ]


class Server:
    """`mlx_lm.server` with the model in `folder`, its options at their defaults."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self._port = free.getsockname()[1]
        command = ["-m", "mlx_lm.server", "--host", HOST, "--port", str(self._port), "--model", str(folder)]
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *command, "--log-level", "ERROR"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"},
        )
        started = time.perf_counter()
        while not self._listens():
            if self._process.poll() is not None:
                raise BenchError(f"mlx_lm.server ended with code {self._process.returncode} before it served")
            if time.perf_counter() - started > LOADING_SECONDS:
                self._process.kill()
                raise BenchError(f"mlx_lm.server did not serve within {LOADING_SECONDS:.0f} s")
            time.sleep(0.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, history: list[dict[str, str]], max_tokens: int) -> Answer:
        """Send the messages so far and read the streamed answer."""
        body = {
            "messages": history,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        connection = http.client.HTTPConnection(HOST, self._port, timeout=LOADING_SECONDS)
        payload = json.dumps(body)
        started = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise BenchError(f"mlx_lm.server answered {response.status}: {response.read().decode()[:200]}")
        seconds, texts, usage = 0.0, [], dict[str, Any]()
        while line := response.readline():
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            seconds = seconds or time.perf_counter() - started
            event = json.loads(line[len(b"data: ") :])
            usage = event.get("usage") or usage
            texts += [choice["delta"].get("content") or "" for choice in event["choices"]]
        connection.close()
        if not usage:
            raise BenchError("mlx_lm.server broke off its answer")
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        return Answer(seconds, "".join(texts), usage["prompt_tokens"], cached)

    def settle(self) -> None:
        """Wait for as long as the agent is waited for; an idle server wakes ten times a second."""
        time.sleep(0.2)

    def _listens(self) -> bool:
        try:
            socket.create_connection((HOST, self._port), 1).close()
        except OSError:
            return False
        return True


def _conversation(server: Server, context: int, seed: int) -> Answer:
    """Run the same turns as `context.conversation`, and return the last answer."""
    history = [{"role": "system", "content": opening()[1]}]
    for text in messages(context, seed):
        history.append({"role": "user", "content": text})
        answer = server.ask(history, ANSWER_TOKENS)
        if len(history) == 2 and answer.prompt_tokens != len(rendered(text)):
            raise BenchError(f"the server's first prompt has {answer.prompt_tokens} tokens, not {len(rendered(text))}")
        server.settle()
        history.append({"role": "assistant", "content": _shown(answer.text)})
    return answer


def _shown(text: str) -> str:
    """Return what a client keeps of an answer in Harmony: the last message's text."""
    return text.rpartition("<|message|>")[2].partition("<|")[0]

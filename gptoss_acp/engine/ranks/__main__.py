"""The process of one rank, `python -m gptoss_acp.engine.ranks`: reads what to be, finds the others, and works.

It ends when its input does, and so with the process that writes to it; also while MLX waits for another rank, which
nothing else can interrupt. Why it can't go on is the last line of its output; rank 0's output is reports.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gptoss_acp.engine.driver import LONGEST_REASON
from gptoss_acp.engine.messages import Close
from gptoss_acp.engine.mlx_engine import no_matcher
from gptoss_acp.engine.ranks import reports, versions
from gptoss_acp.engine.ranks.reports import Failed, Ready, Start

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0
"""How long the step may take that is under way when the input ends."""


def main() -> None:
    """Be a rank until the input ends, or something fails."""
    logging.basicConfig(format="%(name)s %(levelname)s %(message)s", level=logging.INFO)
    source, output = _private_streams()
    code = 0
    try:
        _be(source, output)
    except BaseException as error:
        log.critical("a rank has failed", exc_info=error)
        code = 1
    logging.shutdown()
    os._exit(code)  # MLX's threads may wait for another rank


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the input and the output, which nothing else reads from or prints to any more."""
    source, output = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, output


def _be(source: BinaryIO, output: BinaryIO) -> None:
    """Work as the first thing in `source` says."""
    explain: Callable[[str], None] = functools.partial(_write_line, output)
    try:
        _check_versions(source)
        start: Start | None = next(reports.read(source), None)
        if start is None:
            return
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_hear, args=(source, inbox), name="input", daemon=True).start()
        os.environ.update(start.variables, MLX_RANK=str(start.rank), TRANSFORMERS_VERBOSITY="error")
        if start.rank == 0:
            explain = functools.partial(_report_failure, output)
        if start.measures:
            _measure(start, inbox, output)
        elif start.rank == 0:
            _lead(start, inbox, output)
        else:
            _follow(start, inbox)
    except BaseException as error:
        explain(f"{error}"[:LONGEST_REASON])
        raise


def _check_versions(source: BinaryIO) -> None:
    theirs = source.readline().decode(errors="replace").strip()
    if theirs and theirs != versions.GREETING:
        raise RuntimeError(f"here is {versions.GREETING}, and the agent has {theirs}")


def _hear(source: BinaryIO, inbox: queue.SimpleQueue[Any]) -> None:
    """Put what comes into `inbox`, and let its end be the end, soon, of all."""
    try:
        for message in reports.read(source):
            inbox.put(message)
    except Exception:
        log.exception("what this rank is told is not understood")
    inbox.put(Close())
    time.sleep(CLOSING_SECONDS)
    os._exit(1)


def _measure(start: Start, inbox: queue.SimpleQueue[Any], output: BinaryIO) -> None:
    from gptoss_acp.engine.ranks import link  # noqa: PLC0415 (MLX, which reads variables)

    measured = link.measure(_joined(start))
    if start.rank == 0:
        reports.send(measured, output)
    inbox.get()  # until all have measured


def _lead(start: Start, inbox: queue.SimpleQueue[Any], output: BinaryIO) -> None:
    from gptoss_acp.engine.ranks.rank import Leader  # noqa: PLC0415 (as above)

    followers = [os.fdopen(descriptor, "wb") for descriptor in start.followers]

    def tell(what: Any) -> None:
        for follower in followers:
            reports.send(what, follower)

    say = functools.partial(reports.send, stream=output)
    leader = Leader(_joined(start), start.options, start.build_matcher or no_matcher, say, tell=tell, inbox=inbox)
    say(Ready())
    leader.run()


def _follow(start: Start, inbox: queue.SimpleQueue[Any]) -> None:
    from gptoss_acp.engine.ranks.rank import Follower  # noqa: PLC0415 (as above)

    Follower(_joined(start), start.options, no_matcher, iter(inbox.get, None)).run()


def _joined(start: Start) -> Any:
    """Return MLX's group, once all ranks are in it."""
    import mlx.core as mx  # noqa: PLC0415 (as above)

    with tempfile.TemporaryDirectory(prefix="gptoss-acp-") as folder:
        for variable, content in start.files.items():
            file = Path(folder) / variable
            file.write_text(content, "utf-8")
            os.environ[variable] = str(file)
        group = mx.distributed.init(backend=start.backend, strict=True)
    if group.size() != start.size:
        raise RuntimeError(f"MLX's group has {group.size()} ranks and not {start.size}")
    return group


def _write_line(output: BinaryIO, reason: str) -> None:
    output.write(reason.replace("\n", " ").encode() + b"\n")
    output.flush()


def _report_failure(output: BinaryIO, reason: str) -> None:
    with contextlib.suppress(OSError):  # nobody is there who wants to know
        reports.send(Failed(reason), output)


if __name__ == "__main__":
    main()

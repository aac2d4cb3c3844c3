"""The life of the process, room by room: private stdio, the log file."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gptoss_acp import server
from tests.support.agent_process import private_environment

# Takes stdio, prints by every way there is, reads what a child may read, and speaks on the private descriptor.
PRINTS_EVERYWHERE = """
import ctypes, os, subprocess, sys
from gptoss_acp.server import take_stdio
read_fd, write_fd = take_stdio()
print("Python print", flush=True)
os.write(1, b"descriptor 1\\n")
libc = ctypes.CDLL(None)
libc.puts(b"C puts")
libc.fflush(None)
subprocess.run(["echo", "a child's echo"], check=True)
subprocess.run([sys.executable, "-c", "import sys; print('child read', repr(sys.stdin.read()), flush=True)"], check=True)
os.write(write_fd, b"wire: " + os.read(read_fd, 100))
"""


def run_python(program: str, redirections: str = "", *, input_text: str = "hello") -> subprocess.CompletedProcess[str]:
    """Run a Python program under a shell that can close descriptors."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, program],
        input=input_text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_whatever_prints_reaches_stderr_and_never_the_wire() -> None:
    done = run_python(PRINTS_EVERYWHERE)
    assert done.stdout == "wire: hello"
    assert done.stderr.splitlines() == [
        "Python print",
        "descriptor 1",
        "C puts",
        "a child's echo",
        "child read ''",
    ]
    assert done.returncode == 0


def test_without_stderr_what_prints_is_dropped_and_never_the_wire() -> None:
    done = run_python(PRINTS_EVERYWHERE, "2>&-")
    assert (done.stdout, done.returncode) == ("wire: hello", 0)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_with_stdin_or_stdout_closed_nobody_is_there_and_the_code_is_0(closed: str, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"generations": [[]]}')
    ours, theirs = socket.socketpair()
    with ours, theirs:  # stays open: nothing ends the program but what is closed
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$0" -m gptoss_acp --script "$1" {closed}', sys.executable, str(script)],
            env=private_environment(tmp_path),
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=theirs.fileno(),
        )
        try:
            assert process.wait(5) == 0
        finally:
            process.kill()
        theirs.close()
        assert ours.recv(1000) == b""


@pytest.fixture
def root_logger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[logging.Logger]:
    """The root logger, put back as it was afterwards, with the log file in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def log_text(folder: Path) -> str:
    (file,) = folder.rglob("*.log")
    return file.read_text("utf-8")


def test_logs_go_to_a_file_and_not_to_stderr(
    root_logger: logging.Logger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.set_up_logging(None)
    root_logger.error("something failed")
    assert "something failed" in log_text(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_log_level_brings_the_log_to_stderr_too(
    root_logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.set_up_logging("warning")
    root_logger.info("quiet")
    root_logger.warning("loud")
    assert "loud" in log_text(tmp_path)
    captured = capsys.readouterr()
    assert "loud" in captured.err
    assert "quiet" not in captured.err
    assert captured.out == ""


def test_a_state_folder_that_cannot_be_written_does_not_stop_the_program(
    root_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(in_the_way))
    server.set_up_logging(None)
    root_logger.error("into the void")


def test_a_large_log_is_put_aside(root_logger: logging.Logger, tmp_path: Path) -> None:
    server.set_up_logging(None)
    root_logger.handlers[0].close()  # as the end of a process does
    (file,) = tmp_path.rglob("*.log")
    with file.open("ab") as log:
        log.truncate(server.LARGEST_LOG + 1)
    server.set_up_logging(None)
    assert file.stat().st_size < server.LARGEST_LOG
    (old,) = tmp_path.rglob("*.old")
    assert old.stat().st_size > server.LARGEST_LOG


def test_serving_imports_nothing_slow_before_the_first_answer() -> None:
    program = "import sys; import gptoss_acp.cli.main, gptoss_acp.cli.serve; print(*sys.modules)"
    modules = set(run_python(program).stdout.split())
    assert "gptoss_acp.server" in modules
    assert not modules & {"acp", "pydantic", "mlx", "mlx.core", "mlx_lm", "transformers", "numpy", "openai_harmony"}

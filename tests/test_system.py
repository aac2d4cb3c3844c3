"""Which systems the program says it runs on."""

from __future__ import annotations

import pytest

from gptoss_acp import system
from gptoss_acp.system import System

SUPPORTED = [
    System("darwin", "arm64", "23.0.0"),
    System("darwin", "arm64", "25.1.0"),
    System("linux", "x86_64", "6.1.0", "glibc 2.35"),
    System("linux", "aarch64", "5.15.0", "glibc 2.100"),
]

REFUSED = [
    (System("darwin", "arm64", "22.6.0"), "this macOS is older (Darwin 22.6.0)"),
    (System("darwin", "x86_64", "24.0.0"), "is one for Intel (x86_64)"),
    (System("linux", "x86_64", "6.1.0", "glibc 2.34"), "this Linux has glibc 2.34"),
    (System("linux", "x86_64", "6.1.0", "glibc 1.99"), "this Linux has glibc 1.99"),
    (System("linux", "x86_64", "6.1.0"), "this Linux has another C library"),
    (System("win32", "AMD64", "11"), "this system is another (win32)"),
    (System("freebsd14", "amd64", "14.1"), "this system is another (freebsd14)"),
]


@pytest.mark.parametrize("supported", SUPPORTED, ids=str)
def test_the_program_runs_on_it(supported: System) -> None:
    assert system.problem(supported) is None


@pytest.mark.parametrize(("refused", "why"), REFUSED, ids=str)
def test_what_is_too_old_or_of_another_kind_is_refused_in_a_sentence(refused: System, why: str) -> None:
    problem = system.problem(refused)
    assert problem is not None
    assert problem.startswith("gptoss-acp runs on macOS 14 or newer on Apple silicon, and on Linux with glibc 2.35")
    assert problem.endswith(".")
    assert why in problem


def test_it_runs_where_its_tests_run() -> None:
    assert system.problem(system.here()) is None

"""Commands as gpt-oss writes them: which a shell runs, and that a shell never gets what only looks like its own."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_acp.tools.command_words import as_words

SHELL = ["bash", "-lc"]

FOR_A_SHELL: list[tuple[list[str], str]] = [
    (["ls -la"], "ls -la"),
    (["ls", "*.py", "|", "wc", "-l"], "ls *.py | wc -l"),
    (["ls", "-t", "|", "head"], "ls -t | head"),
    (["cd", "a b", "&&", "make"], "cd 'a b' && make"),
    (["cd", "a", ";", "ls"], "cd a ; ls"),
    (["make", "||", "echo", "it's $?"], "make || echo 'it'\"'\"'s $?'"),
    (["echo", "a", ">", "f"], "echo a > f"),
    (["echo", "a", ">f"], "echo a >f"),
    (["make", "2>&1", "|", "tail"], "make 2>&1 | tail"),
    (["sort", "<", "f"], "sort < f"),
    (["server", "&"], "server &"),
    (["bash", "-lc", "ls", "|", "wc"], "ls | wc"),
    (["bash", "-lc", "cd x && ls", "&&", "make"], "cd x && ls && make"),
    (["grep", "a|b", "f", "|", "wc"], "grep 'a|b' f | wc"),
    (["grep", "-c", ">", "f", ">", "g"], "grep -c '>' f > g"),
    (["cat", "f", "|", "grep", ">", "|", "wc"], "cat f | grep '>' | wc"),
    (["curl", "http://h/?a=1&b=2", "|", "jq", "."], "curl 'http://h/?a=1&b=2' | jq ."),
    (["find", ".", "-exec", "ls", "{}", ";", "|", "wc"], "find . -exec ls {} ';' | wc"),
    (["test", "-f", "x", "&&", "ls"], "test -f x && ls"),
    (["python -m pytest", "-q", "a b"], "python -m pytest -q 'a b'"),
    (["ls -la", "pwd -P"], "ls -la\npwd -P"),
    (["git log", "|", "head"], "git log | head"),
    (["cd src", "&&", "ls"], "cd src && ls"),
]


@pytest.mark.parametrize(("words", "line"), FOR_A_SHELL, ids=[row[1] for row in FOR_A_SHELL])
def test_a_list_that_is_a_line_is_run_by_a_shell(words: list[str], line: str) -> None:
    assert as_words(words) == [*SHELL, line]
    subprocess.run(["bash", "-n", "-c", line], check=True)


AS_THEY_ARE = [
    ["git", "commit", "-m", "a && b"],
    ["git", "commit", "-m", ">"],
    ["find", ".", "-exec", "ls", "{}", ";"],
    ["awk", "-F", "|", "{print $1}", "f"],
    ["cut", "-d", "|", "-f", "1", "f"],
    ["sort", "-t", "|", "f"],
    ["grep", "-c", ">", "f"],
    ["grep", "-e", ">", "f"],
    ["tr", "|", ","],
    ["[", "a", ">", "b", "]"],
    ["echo", "->", "=>", "<b>"],
    ["ls", "|"],
    ["/a b/c", "d"],
    ["bash", "-lc", "grep '>' f | wc"],
]


@pytest.mark.parametrize("words", AS_THEY_ARE, ids=" ".join)
def test_a_sign_that_is_an_argument_stays_one(words: list[str]) -> None:
    assert as_words(words) == words


@pytest.mark.parametrize("line", ['["ls", "-la"]', "['ls', '-la']", "['ls', \"-la\"]"])
def test_a_list_in_a_string_is_that_list(line: str) -> None:
    assert as_words(line) == as_words([line]) == ["ls", "-la"]


@pytest.mark.parametrize("line", ["[ -f x ] && ls", "[[ -f x ]]", "ls"])
def test_a_line_is_run_by_a_shell(line: str) -> None:
    assert as_words(line) == [*SHELL, line]


@pytest.mark.parametrize("hostile", ["[", "['", "[-", "[1+", "[(", '["', "[[],"])
def test_a_megabyte_of_anything_is_a_line(hostile: str) -> None:
    line = hostile * (1_000_000 // len(hostile))
    assert as_words(line) == [*SHELL, line]


def test_many_signs_are_read_at_once() -> None:
    assert as_words(["a", *(";", "b") * 100_000])[:2] == SHELL
    assert as_words(["find", "-exec", *(";", "b") * 100_000])[:2] == SHELL


words = st.lists(
    st.sampled_from(["a", "b c", "*", "|", "&&", ">", "f", "-e", "grep", "it's", "x;y", "$HOME", ""]), min_size=1
)


@settings(max_examples=300, deadline=None, database=None)
@given(words)
def test_a_shell_can_read_whatever_it_is_given(command: list[str]) -> None:
    read: Any = as_words(command)
    if read[:2] == SHELL and " " not in command[0]:
        assert subprocess.run(["bash", "-n", "-c", "--", read[2]], check=False, capture_output=True).returncode == 0

"""The tool that searches files, as the model sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gptoss_acp.text import LONGEST_RESULT
from gptoss_acp.tools import search
from tests.support.desk import Desk
from tests.support.project import git, write

IGNORED = "(ignored and not searched: b.txt, build; name one as the path to search it)"


@pytest.fixture(autouse=True)
def _every_search_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "QUICK_SECONDS", 60.0)
    monkeypatch.setattr(search, "LONGEST_BESIDE_SECONDS", 60.0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a repository with a file that its .gitignore names."""
    write(tmp_path / "src/a.py", "x = 1\ndef Find():\n    pass\n")
    write(tmp_path / "b.txt", "def other\r\n")
    write(tmp_path / "build/c.py", "def built\n")
    write(tmp_path / ".gitignore", "b.txt\nbuild/\n")
    git(tmp_path, "init", "-q")
    return tmp_path


async def test_search_finds_lines_as_the_model_was_trained_to_read_them(project: Path) -> None:
    desk = Desk(project)
    assert await desk.call("search", path="", query="def ") == f"src/a.py:2:def Find():\n{IGNORED}"
    assert desk.peer.updates[-2]["locations"] == [{"path": str(project / "src/a.py"), "line": 2}]
    assert await desk.call("search", query="find") == f"No matches.\n{IGNORED}"
    assert await desk.call("search", path="src", query="(?i)find") == "src/a.py:2:def Find():"
    assert await desk.call("search", path="", query="-x") == f"No matches.\n{IGNORED}"
    assert (await desk.call("search", path="gone", query="x")).startswith("Error: no such file")


async def test_a_last_line_that_has_no_end_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "one\nlast")
    assert await Desk(tmp_path).call("search", query="last") == "a.txt:2:last"


async def test_what_is_ignored_is_searched_if_it_is_named(project: Path) -> None:
    desk = Desk(project)
    assert await desk.call("search", path="b.txt", query="def") == "b.txt:1:def other"
    assert await desk.call("search", path="build", query="def") == "build/c.py:1:def built"
    write(project / ".gitignore", "build/*\n")
    assert await desk.call("search", path="build", query="def") == "build/c.py:1:def built"


async def test_how_much_is_ignored_is_said_with_the_nearest_names(project: Path) -> None:
    (project / ".gitignore").write_text("*.pyc\n/node_modules\n")
    for number in range(9):
        write(project / f"src/{number}.pyc", "def x\n")
    write(project / "node_modules/deep/a.js", "def x\n")
    desk = Desk(project)
    assert (await desk.call("search", query="nowhere")).splitlines()[1] == (
        "(ignored and not searched: node_modules, src/0.pyc, src/1.pyc and 7 more; name one as the path to search it)"
    )
    assert "(ignored and not searched: src/0.pyc, " in await desk.call("search", path="src", query="nowhere")
    assert await desk.call("search", path="node_modules", query="nowhere") == "No matches."


@pytest.mark.parametrize("glob", ["*.py", "./src/*.py", "src/", "**/*.py", "src/**/"])
async def test_a_glob_narrows_and_brings_nothing_back_that_is_ignored(glob: str, project: Path) -> None:
    write(project / ".git/x.py", "def git\n")
    desk = Desk(project)
    assert (await desk.call("search", path="", query="def", glob=glob)).startswith("src/a.py:2:def Find():\n(ignored")
    said = "No matches.\n(no file fits the glob *.txt)"
    assert await desk.call("search", path="src", query="def", glob="*.txt") == said


async def test_a_query_that_is_no_regular_expression_is_searched_for_as_it_stands(project: Path) -> None:
    assert await Desk(project).call("search", path="", query="Find(") == (
        f"src/a.py:2:def Find():\n(no regular expression: unclosed group; searched as plain text)\n{IGNORED}"
    )


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("(?=def)", "look-around, including look-ahead and look-behind, is not supported"),
        (r"(d)\1", "backreferences are not supported"),
        (r"1\ndef", r'the literal "\n" is not allowed in a regex'),
    ],
)
async def test_what_ripgrep_can_not_search_for_is_said(query: str, problem: str, project: Path) -> None:
    result = await Desk(project).call("search", path="", query=query)
    assert result.startswith("Error: ")
    assert problem in result


async def test_the_first_matches_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    for name in "cab":
        write(tmp_path / name, "y\n" * 1000)
    desk = Desk(tmp_path)
    assert await desk.call("search", path="", query="y", max_results=2) == (
        "a:1:y\na:2:y\n(2,998 more matches; narrow the path or the query, or give a larger max_results)"
    )
    lines = (await desk.call("search", path="", query="y")).splitlines()
    assert len(lines) == search.MOST_MATCHES + 1
    assert lines[-1].startswith(f"({3000 - search.MOST_MATCHES:,} more matches")


async def test_search_stays_within_bounds_and_a_long_line_costs_only_itself(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", ("y" * 5000 + "\n") * 1000)
    write(tmp_path / "b.txt", "y" * 2**21)
    desk = Desk(tmp_path)
    result = await desk.call("search", path="", query="y+", max_results=1000)
    assert len(result) <= LONGEST_RESULT
    assert "[... omitted end of long line]\n" in result
    lines = result.splitlines()
    assert lines[-1].startswith(f"({1001 - len(lines) + 1} more matches")


async def test_large_and_binary_files_are_searched_or_it_is_said(tmp_path: Path) -> None:
    write(tmp_path / "large", "x\n" * 6 * 2**20 + "found\n")
    write(tmp_path / "binary", b"found\n" + b"x\n" * 2**17 + b"\0")
    desk = Desk(tmp_path)
    note = "(1 binary files match, and were not searched to their end)"
    assert await desk.call("search", path="", query="found") == (f"binary:1:found\nlarge:{6 * 2**20 + 1}:found\n{note}")
    assert await desk.call("search", path="binary", query="found") == f"binary:1:found\n{note}"


async def test_what_can_not_be_read_is_said(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / name, "x\n")
    (tmp_path / "b").chmod(0)
    if not (tmp_path / "b").stat().st_uid:
        pytest.skip("whoever runs this may read everything")
    assert await Desk(tmp_path).call("search", path="", query="x") == (
        "a:1:x\n(1 could not be read, such as ./b: Permission denied (os error 13))"
    )


async def test_what_is_in_files_of_other_kinds_is_found_or_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "dos.c").write_bytes(b"foo();\r\nbar();\r\n")
    (tmp_path / "bin").write_bytes(b"needle\n" + b"x" * 100 + b"\0" * 10)
    (tmp_path / "gbk").write_bytes(f"a{'张' * 400}needle\n".encode("gbk"))
    desk = Desk(tmp_path)
    assert await desk.call("search", query=r"foo\(\);$") == "dos.c:1:foo();"
    found = await desk.call("search", query="needle")
    assert found.startswith("gbk:1:a张张张")
    assert "\ufffd" not in found
    assert "(1 binary files match, and were not searched to their end)" in found


async def test_what_can_not_be_found_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.py", "x\n")
    desk = Desk(tmp_path)
    assert await desk.call("search", query="x", glob="*.nosuch") == "No matches.\n(no file fits the glob *.nosuch)"
    assert await desk.call("search", query="x", path="a.py", glob="*.py") == "a.py:1:x"
    assert "can't be searched for one" in await desk.call("search", query="a\0b")
    assert "can't be searched for one" in await desk.call("search", query="a", glob="\0")


@pytest.mark.parametrize("name", ["utf-16-le", "utf-32"])
async def test_text_in_which_nothing_can_be_searched_for_is_said_to_be_such(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("a needle\n".encode(name))
    assert "in which nothing can be searched for; open it)" in await Desk(tmp_path).call(
        "search", query="needle", path="a"
    )
    (tmp_path / "a").write_bytes("a needle\n".encode("utf-16"))
    assert await Desk(tmp_path).call("search", query="needle", path="a") == "a:1:a needle"

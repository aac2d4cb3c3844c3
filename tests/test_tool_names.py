"""Which tool is meant by the names that gpt-oss writes, and which names a header may have."""

from __future__ import annotations

import pytest

from gptoss_acp.tool_names import ToolNames

TOLD = [
    "container.exec",
    "repo_browser.print_tree",
    "repo_browser.search",
    "repo_browser.open_file",
    "repo_browser.apply_patch",
    "functions.update_plan",
    "functions.web__Look-up",
]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((name, name) for name in TOLD),
        ("read_file", "repo_browser.open_file"),
        ("functions.read_file", "repo_browser.open_file"),
        ("functions.functions.read_file", "repo_browser.open_file"),
        ("repo_browser.read_file", "repo_browser.open_file"),
        ("Functions.Open_File", "repo_browser.open_file"),
        ("open file", "repo_browser.open_file"),
        ("open", "repo_browser.open_file"),
        ("list_dir", "repo_browser.print_tree"),
        ("repo_browser.list_dir", "repo_browser.print_tree"),
        ("list_files", "repo_browser.print_tree"),
        ("find", "repo_browser.print_tree"),
        ("search", "repo_browser.search"),
        ("functions.grep", "repo_browser.search"),
        ("exec", "container.exec"),
        ("shell", "container.exec"),
        ("bash", "container.exec"),
        ("exec_command", "container.exec"),
        ("container_exec", "container.exec"),
        ("functions.container.exec", "container.exec"),
        ("CONTAINER.EXEC", "container.exec"),
        ("functions.apply_patch", "repo_browser.apply_patch"),
        ("applypatch", "repo_browser.apply_patch"),
        ("update_plan", "functions.update_plan"),
        ("functions.Update plan", "functions.update_plan"),
        ("web__look_up", "functions.web__Look-up"),
        ("python", "python"),
        ("functions.python", "python"),
        ("browser.search", None),
        ("str_replace_editor", None),
        ("container", None),
        ("functions.", None),
        ("", None),
    ],
)
def test_a_written_name_means_a_tool(written: str, meant: str | None) -> None:
    assert ToolNames(TOLD).meant(written) == meant


def test_a_session_s_own_tool_comes_before_a_foreign_name_for_another() -> None:
    names = ToolNames([*TOLD, "functions.read_file", "functions.Shell", "functions.shell"])
    assert names.meant("read_file") == "functions.read_file"
    assert names.meant("functions.shell") == "functions.shell"
    assert names.meant("Shell") == "functions.Shell"


def test_without_tools_no_name_means_one() -> None:
    assert ToolNames([]).meant("python") is None
    assert ToolNames(["functions.x"]).spellings() == [("functions.x", "functions.x"), ("x", "functions.x")]


def test_every_spelling_is_understood_and_no_two_are_the_same() -> None:
    names = ToolNames(TOLD)
    spellings = names.spellings()
    assert [spelling for spelling, _ in spellings[: len(TOLD)]] == TOLD
    assert len(dict(spellings)) == len(spellings)
    assert all(names.meant(spelling) == recipient for spelling, recipient in spellings)
    assert {"functions.container.exec", "functions.list_dir", "functions.python"} <= dict(spellings).keys()

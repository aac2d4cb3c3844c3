"""Skills and commands of the project and the user through the real program."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.editor import Editor, opened, prompts
from tests.support.project import write
from tests.support.tokens import final, system_call

SKILL = "---\nname: {0}\ndescription: For {0}.\n---\n\nDo {0} well.\n"


async def test_skills_and_commands_reach_the_client_and_the_model(tmp_path: Path) -> None:
    work, users = tmp_path / "work", tmp_path / "home/.agents"
    write(work / ".agents/skills/pdf/SKILL.md", SKILL.format("pdf"))
    write(work / ".agents/skills/broken/SKILL.md", "---\nname: [\n---\n")
    write(work / ".agents/commands/review.md", "---\ndescription: Reviews\n---\nReview $ARGUMENTS now.")
    write(users / "skills/mine/SKILL.md", SKILL.format("mine"))
    reference = write(users / "skills/mine/references/more.md", "The reference.\n")
    opens = system_call("repo_browser.open_file", json.dumps({"path": str(reference)}))
    editor = Editor("reject_once")
    async with opened(editor, tmp_path, opens, *[final("Ok.")] * 9) as session:
        assert await session.prompt("/review the tests") == "end_turn"
        assert await session.prompt("/mine") == "end_turn"
        write(work / ".agents/commands/fresh.md", "Be fresh.")
        assert await session.prompt("/fresh") == "end_turn"
        assert await session.prompt("/help") == "end_turn"
        assert await session.prompt("/nowhere") == "end_turn"
        said = editor.text()
        first, *_, last = [
            {command.name: command for command in update.available_commands}
            for update in editor.of_kind("available_commands_update")
        ]
        editor.forget()
        await session.connection.load_session(cwd=str(work), session_id=session.identifier, mcp_servers=[])
        await editor.until(lambda: len(editor.of_kind("user_message_chunk")) == 5)
        shown = [chunk.content.text for chunk in editor.of_kind("user_message_chunk")]
    assert shown == ["/review the tests", "/mine", "/fresh", "/help", "/nowhere"]
    assert editor.permissions == []
    assert first["review"].description == "Reviews (the project's command)"
    assert first["mine"].description == "For mine. (your skill)"
    assert "compact" in first
    assert "fresh" in last.keys() - first.keys()
    assert said.count(f"`{work}/.agents/skills/broken/SKILL.md` is left out: its front matter is no YAML") == 1
    assert f"- `/fresh what to do`: `Be fresh.` (the project's command, `{work}/.agents/commands/fresh.md`)" in said
    assert "There is no command /nowhere." in said
    begun, read, mine, fresh = prompts(tmp_path)
    assert (
        "\n\nSkills, each a file to open before you do what it is for:\n\n"
        "- pdf: (of this project) For pdf. (.agents/skills/pdf/SKILL.md)\n"
        f"- mine: For mine. ({users}/skills/mine/SKILL.md)"
    ) in begun
    assert "<|start|>user<|message|>Review the tests now.<|end|>" in begun
    assert "L1: The reference." in read
    assert (
        f"<|start|>user<|message|>The skill mine, whose files are in {users}/skills/mine:\n\nDo mine well.<|end|>"
        in mine
    )
    assert "<|start|>user<|message|>Be fresh.<|end|>" in fresh

"""The tool that asks the user what the model needs to know. The answer is words to the model: it allows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gptoss_acp.errors import ToolError
from gptoss_acp.text import visible
from gptoss_acp.tools.arguments import Arguments, as_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gptoss_acp.protocol.face import Answered
    from gptoss_acp.tools.call import Call

MOST_OPTIONS = 20

_CHOICE, _OWN_WORDS = "choice", "answer"
_LABELS = ("label", "title", "name", "value", "text", "option", "description")


class AskUser(Arguments):
    question: str
    options: list[str] | None = None

    bare: ClassVar = "question"

    @classmethod
    def as_meant(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Take a list in a string, and options that are objects, for texts."""
        options = as_list(given.get("options"))
        return given | {"options": [_label(option) for option in options]} if isinstance(options, list) else given


def _label(option: Any) -> Any:
    if not isinstance(option, dict):
        return option
    named = {str(name).lower(): value for name, value in option.items()}
    return next((named[name] for name in _LABELS if isinstance(named.get(name), str)), option)


async def ask_user(arguments: AskUser, call: Call) -> str:
    """Ask the user a question and wait for the answer."""
    question = visible(arguments.question).strip()
    if not question:
        raise ToolError("the question is empty")
    options = list(dict.fromkeys(option for each in arguments.options or () if (option := visible(each).strip())))
    if len(options) > MOST_OPTIONS:
        raise ToolError(f"these are {len(options)} options; offer at most {MOST_OPTIONS}, or none")
    call.describe(f"Ask: {question}")
    return _told(await call.elicit({"mode": "form", "message": question, "requestedSchema": _form(options)}))


def _form(options: Sequence[str]) -> dict[str, Any]:
    words = {"type": "string", "title": "Or in your own words" if options else "Your answer"}
    if not options:
        return {"type": "object", "properties": {_OWN_WORDS: words}, "required": [_OWN_WORDS]}
    choice = {"type": "string", "title": "Choose one", "enum": list(options)}
    return {"type": "object", "properties": {_CHOICE: choice, _OWN_WORDS: words}}


def _told(answered: Answered) -> str:
    said = [text for name in (_CHOICE, _OWN_WORDS) if (text := str(answered.content.get(name, "")).strip())]
    if answered.action == "accept" and said:
        return f"The user answers: {'; '.join(said)}"
    how = "does not want to answer" if answered.action == "decline" else "has given no answer"
    return f"The user {how}. Go on with what seems best, or say in your answer what you would need to know."

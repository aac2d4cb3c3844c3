"""Turns in which the model calls tools, and what comes of it.

Knows what the tools return. Knows nothing about messages or talk.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from gptoss_acp.briefing import developer_message
from gptoss_acp.harmony import encoding
from gptoss_acp.tool_names import APPLY_PATCH, EXEC, OPEN_FILE, PRINT_TREE, SEARCH
from tiny import requests, words
from tiny.grammar import NotCopyableError, clip, encode, fill, phrase
from tiny.requests import Action
from tiny.turns import Answer, Call, Result, Turn

TOOLS = (OPEN_FILE, PRINT_TREE, SEARCH, EXEC, APPLY_PATCH)


CALL_THOUGHTS = {
    OPEN_FILE: "The user wants to see a file.",
    PRINT_TREE: "The user wants to see a folder.",
    SEARCH: "The user wants to find something.",
    EXEC: "The user wants to run a command.",
    APPLY_PATCH: "The user wants to change a file.",
}


def tool_turn(random: Random, tool: str, *, result: bool = True) -> Turn:
    """Return a turn with one call; with `result`, what comes of it too."""
    request = requests.request(random, tool)
    call = Call(CALL_THOUGHTS[tool], request.actions[0])
    if not result:
        return Turn(request.text, (call,))
    return Turn(request.text, (call, *_after(random, request.actions[0])))


def chain_turn(random: Random) -> Turn:
    """Return a turn with several calls; one that fails ends it."""
    request = requests.chain(random)
    steps: list[Call | Answer | Result] = []
    for place, action in enumerate(request.actions):
        about = "The user wants several things. This is the first." if place == 0 else "Now the next thing."
        steps.append(Call(about, action))
        last = place == len(request.actions) - 1
        result, answer = _after(random, action)
        steps.append(result)
        if last or result.text.startswith("Error"):
            steps.append(answer)
            break
    return Turn(request.text, tuple(steps))


def init_turn(random: Random) -> Turn:
    """Return the turn in which the model writes an AGENTS.md."""
    path = encode("AGENTS.md")
    look = Call("The user wants several things. This is the first.", requests.list_call(()))
    lines = (encode("+# Notes"), encode("+"), encode("+- Read before you write."), encode("+- Run the tests."))
    write = Call("Now the next thing.", requests.patch_call("Add", path, *lines))
    result, answer = _patched(random, write.action)
    return Turn(developer_message.request("init"), (look, _folder_shown(random, look.action)[0], write, result, answer))


def _after(random: Random, action: Action) -> tuple[Result, Answer]:
    while True:
        try:
            kind = random.random()
            if kind < 0.07:
                return _missing_tool(random, action.tool)
            if kind < 0.14:
                return _refused(random, action.tool)
            if kind < 0.17:
                return _timed_out(random, action.tool)
            if kind < 0.28:
                return _failed(random, action.tool)
            return _SUCCESSES[action.tool](random, action)
        except NotCopyableError:
            continue


def _missing_tool(random: Random, tool: str) -> tuple[Result, Answer]:
    others = random.sample([name for name in (*TOOLS, "functions.update_plan") if name != tool], random.randint(1, 5))
    rest = random.choice(("No tools are available.", "No tools are available.", f"The tools are: {', '.join(others)}."))
    content = encode("I cannot do that here: there is no tool `") + encode(tool) + encode("`.")
    answer = Answer("The tool is not available.", content)
    return Result(tool, f"Error: there is no tool {tool}. {rest}"), answer


def _error(random: Random, rule: str) -> str:
    skeleton = phrase(random, rule)
    values = {
        "H": f"hunk {random.randint(1, 3)} (line {random.randint(3, 20)} of the patch)",
        "N": str(random.randint(1, 999)),
        "P": words.file(random),
        "T": words.text(random, 2, 8),
        "X": words.name(random),
    }
    return fill(skeleton, values).text


def _refused(random: Random, tool: str) -> tuple[Result, Answer]:
    error = _error(random, "refusal")
    answer = Answer(
        "The user did not allow it.",
        encode("You did not allow this, so I stopped. Tell me what to do instead."),
    )
    return Result(tool, "Error: " + _ended(random, error)), answer


def _timed_out(random: Random, tool: str) -> tuple[Result, Answer]:
    error = _ended(random, _error(random, "timeout"))
    answer = Answer("It took too long.", encode("It took too long, so it was stopped."))
    return Result(tool, "Error: " + error), answer


def _failed(random: Random, tool: str) -> tuple[Result, Answer]:
    error = "Error: " + _ended(random, _error(random, "failure"))
    copied = clip(error, len("Error:"), len(error))
    return Result(tool, error), Answer("The tool failed.", encode("That did not work:") + copied)


def _ended(random: Random, error: str) -> str:
    if random.random() < 0.3:
        error = error[0].upper() + error[1:]
    return error + "." if random.random() < 0.5 and error[-1] != "." else error


def _file_shown(random: Random, action: Action) -> tuple[Result, Answer]:
    if random.random() < 0.05:
        empty = random.choice(("", "The file is empty.", "(empty)", "(empty file)"))
        return Result(action.tool, empty), Answer("The file is empty.", encode("The file is empty."))
    count = random.choices((1, 2, 3, 5, 8, 14), (40, 18, 14, 14, 9, 5))[0]
    start = 1 if random.random() < 0.85 else random.randint(1, 900)
    lines = [words.line(random) if place == 0 or random.random() < 0.85 else "" for place in range(count)]
    text = "\n".join(f"L{start + place}: {line}" for place, line in enumerate(lines))
    if random.random() < 0.2:
        text += "\n"
    begin = len(f"L{start}:")
    copied = clip(text, begin, begin + 1 + len(lines[0]))
    said = "The file says:" if count == 1 else "The file starts with:"
    about = "The tool returned one line." if count == 1 else "The tool returned several lines."
    return Result(action.tool, text), Answer(about, encode(said) + copied)


def _folder_shown(random: Random, action: Action) -> tuple[Result, Answer]:
    if random.random() < 0.05:
        empty = random.choice(("", "(empty)", "The folder is empty.", "(no files)"))
        return Result(action.tool, empty), Answer("The folder is empty.", encode("The folder is empty."))
    names = [_entry(random) for _ in range(random.choices((1, 2, 3, 4, 5, 6), (10, 20, 22, 20, 16, 12))[0])]
    text = "\n".join(names)
    about = "The tool returned a list."
    return Result(action.tool, text), Answer(about, encode("The folder contains:\n\n") + clip(text, 0, len(text)))


def _entry(random: Random) -> str:
    if random.random() < 0.3:
        return (
            random.choice(words.listed("well known folders")) if random.random() < 0.4 else words.name(random)
        ) + "/"
    if random.random() < 0.25:
        return random.choice(words.listed("well known files")).rsplit("/", 1)[-1]
    return words.name(random) + random.choice(words.listed("extensions"))


def _found(random: Random, action: Action) -> tuple[Result, Answer]:
    if random.random() < 0.12:
        nothing = random.choice(
            ("", "No matches.", "no matches", "(no matches)", "Nothing found.", "No matches found.")
        )
        return Result(action.tool, nothing), Answer("Nothing was found.", encode("I found nothing."))
    count = random.choices((1, 2, 3, 5, 8), (40, 22, 16, 12, 10))[0]
    lines = [f"{words.file(random)}:{random.randint(1, 400)}:{words.line(random)}" for _ in range(count)]
    text = "\n".join(lines)
    said = "I found one line:\n\n" if count == 1 else "I found several lines. The first is:\n\n"
    about = "The tool returned one line." if count == 1 else "The tool returned several lines."
    return Result(action.tool, text), Answer(about, encode(said) + clip(text, 0, len(lines[0])))


def _patched(random: Random, action: Action) -> tuple[Result, Answer]:
    patch = json.loads(encoding.load().decode(list(action.content)))["patch"]
    verb, path = next((line.split()[1], line.split(": ", 1)[1]) for line in patch.splitlines() if " File: " in line)
    mark = {"Add": "A", "Update": "M", "Delete": "D"}[verb]
    said = {"A": "I wrote the file.", "M": "I changed the file.", "D": "I deleted the file."}[mark]
    result = f"Success. Updated the following files:\n{mark} {path}" + random.choice(("", "", "\n"))
    return Result(action.tool, result), Answer("The patch was applied.", encode("Done. " + said))


def _ran(random: Random, action: Action) -> tuple[Result, Answer]:
    failed = random.random() < 0.2
    code = random.choice((1, 1, 1, 2, 2, 127, 126, 101, 128, 130, random.randint(3, 255))) if failed else 0
    head = f"Exit code: {code}\nOutput:\n"
    if random.random() < 0.12:
        said = (
            f"The command failed with exit code {code} and printed nothing."
            if failed
            else "The command finished without output."
        )
        about = "The command failed." if failed else "There is no output."
        return Result(action.tool, random.choice((head, head, head.rstrip("\n")))), Answer(about, encode(said))
    count = random.choices((1, 2, 3, 6, 12), (42, 20, 16, 14, 8))[0]
    lines = [words.line(random) for _ in range(count)]
    text = head + "\n".join(lines) + random.choice(("", "\n"))
    copied = clip(text, len(head), len(head) + len(lines[0]))
    if failed:
        said, about = f"The command failed with exit code {code}:\n\n", "The command failed."
    elif count == 1:
        said, about = "The command printed:\n\n", "The tool returned one line."
    else:
        said, about = "The output starts with:\n\n", "The tool returned several lines."
    return Result(action.tool, text), Answer(about, encode(said) + copied)


_SUCCESSES: dict[str, Callable[[Random, Action], tuple[Result, Answer]]] = {
    OPEN_FILE: _file_shown,
    PRINT_TREE: _folder_shown,
    SEARCH: _found,
    APPLY_PATCH: _patched,
    EXEC: _ran,
}

"""Whole dialogues in Harmony, as token ids with the marks of what the model shall learn to say.

Knows turns and tool results. Knows nothing about networks, training or what stands before a dialogue.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from gptoss_acp import vocabulary
from gptoss_acp.briefing import developer_message
from gptoss_acp.harmony import encoding, render
from tiny import requests, texts, words
from tiny.grammar import NotCopyableError, Tokens, clip, encode, expand, fill, phrase
from tiny.requests import APPLY_PATCH, EXEC, OPEN_FILE, PRINT_TREE, SEARCH, Action

_ANALYSIS = (vocabulary.CHANNEL, *encode("analysis"), vocabulary.MESSAGE)
_FINAL = (vocabulary.CHANNEL, *encode("final"), vocabulary.MESSAGE)

TOOLS = (OPEN_FILE, PRINT_TREE, SEARCH, EXEC, APPLY_PATCH)


@dataclass(frozen=True)
class Call:
    """The model thinks and calls a tool."""

    thought: str
    action: Action


@dataclass(frozen=True)
class Answer:
    """The model thinks and answers; without a thought, where the agent has begun the answer for it."""

    thought: str
    content: Tokens


@dataclass(frozen=True)
class Result:
    """What a tool returns."""

    tool: str
    text: str


@dataclass(frozen=True)
class Turn:
    """A user's message and everything up to the answer."""

    user: str
    steps: tuple[Call | Answer | Result, ...]


@dataclass
class Dialogue:
    """Token ids, and for each whether the model is trained to say it."""

    ids: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)

    def add(self, ids: Tokens | list[int], *, learned: bool = False) -> None:
        """Append ids."""
        self.ids += ids
        self.learned += [learned] * len(ids)

    def user(self, text: str) -> None:
        """Append a user message."""
        self.add(render.user(text))

    def result(self, result: Result) -> None:
        """Append a tool's result."""
        self.add(render.tool_result(result.tool, "analysis", result.text))

    def say(self, step: Call | Answer, *, past: bool = False) -> None:
        """Append what the model says; of a `past` turn neither the analysis is left nor anything to learn."""
        silent = past or not step.thought
        messages: list[Tokens] = [] if silent else [(*_ANALYSIS, *encode(step.thought), vocabulary.END)]
        if isinstance(step, Answer):
            messages.append((*_FINAL, *step.content, vocabulary.END if past else vocabulary.RETURN))
        else:
            messages.append(_call_message(step.action))
        for place, message in enumerate(messages):
            self.add(render.ASSISTANT_START, learned=not past and place > 0)
            self.add(message, learned=not past)

    def turn(self, turn: Turn, *, past: bool = False) -> None:
        """Append a turn."""
        self.user(turn.user)
        for step in turn.steps:
            if isinstance(step, Result):
                self.result(step)
            else:
                self.say(step, past=past)


def _call_message(action: Action) -> Tokens:
    header = (vocabulary.CHANNEL, *encode(f"analysis to={action.tool} code"), vocabulary.MESSAGE)
    return (*header, *action.content, vocabulary.CALL)


# --- turns ---


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


# --- turns without tools ---


def _spoken(random: Random, text: str) -> str:
    """Return a chat message as people type it: any case, any end."""
    style = random.random()
    if style < 0.4:
        text = text[0].upper() + text[1:]
    elif style < 0.7:
        text = text.lower()
    elif style < 0.73:
        text = text.upper()
    return text


def chat_turn(random: Random) -> Turn:
    """Return a turn of small talk or a simple question."""
    if random.random() < 0.24:
        return greeting_turn(random)
    weights = [
        {"hello": 4, "identity": 6, "thanks": 9, "abilities": 7, "goodbye": 3}.get(topic, 1) for topic in texts.CHAT
    ]
    topic = random.choices(list(texts.CHAT), weights)[0]
    about, answer = texts.CHAT[topic]
    text = phrase(random, f"chat {topic}")
    ends = ("?", "?", "?", "") if text.split()[0].lower() in words.listed("question words") else ("", "", ".", "!")
    text += random.choice((*ends, " :)") if topic in {"thanks", "goodbye"} else ends)
    if random.random() < 0.25:
        text = phrase(random, "chat opening") + random.choice((", ", " ", "! ", ". ", " - ")) + text
    if random.random() < 0.08:
        text = requests.sentence(random) + " " + text
    return Turn(_spoken(random, text), (Answer(about, encode(answer)),))


def greeting_turn(random: Random) -> Turn:
    """Return a turn that says hello."""
    text = phrase(random, "greeting") + random.choice(texts.GREETING_TAILS)
    if random.random() < 0.25:
        more = random.choice(("greeting question", "greeting question", "greeting question", "greeting"))
        text += random.choice((", ", " ", "! ", ". ")) + phrase(random, more)
    text += random.choice(("", "", "", "!", ".", "?", "!!", "...", " :)", ",", " ;)", " :-)"))
    answer = Answer(texts.GREETING_THOUGHT, encode(texts.GREETING_ANSWER))
    return Turn(_spoken(random, text), (answer,))


def count_turn(random: Random, longest: int = 100) -> Turn:
    """Return a turn that asks for numbers in a row."""
    rule = random.choices(("count to", "count from", "count down"), (70, 13, 17))[0]
    if rule == "count to":
        usual = random.choice((5, 10, 10, 12, 15, 20, 25, 30, 40, 50, 50, 60, 75, 80, 99, 100, 100, 100))
        first, last = 1, min(longest, usual if random.random() < 0.5 else random.randint(2, longest))
    elif rule == "count from":
        first = random.randint(2, 80)
        last = first + random.randint(1, min(30, longest))
    else:
        first, last = random.randint(3, min(30, longest)), 1
    asked = fill(phrase(random, rule), {"N": str(last), "M": str(first)}).text
    step = 1 if last >= first else -1
    numbers = ", ".join(str(number) for number in range(first, last + step, step))
    text = _spoken(random, asked) + random.choice(("", "", ".", "!", "?" if "you" in asked else ""))
    return Turn(text, (Answer("The user wants me to count.", encode(numbers)),))


def long_count_turn(random: Random) -> Turn:
    """Return a turn that asks for more numbers than the model has learnt to say."""
    usual = (150, 200, 250, 500, 600, 1000, 1000, 10_000)
    last = random.choice(usual) if random.random() < 0.5 else random.randint(111, random.choice((999, 9999)))
    values = {"N": str(last), "M": str(random.choice((1, 1, 1, random.randint(2, 80))))}
    asked = fill(phrase(random, random.choice(("count to", "count to", "count from"))), values).text
    text = _spoken(random, asked) + random.choice(("", "", ".", "!", "?" if "you" in asked else ""))
    return Turn(text, (Answer(texts.TOO_FAR_THOUGHT, encode(texts.TOO_FAR_ANSWER)),))


def list_turn(random: Random) -> Turn:
    """Return a turn that asks for a numbered list of things."""
    count = random.choice((5, 10, 10, 20, 20, 30, 40, 50, random.randint(3, 50)))
    asked = fill(phrase(random, "list of things"), {"N": str(count)}).text
    items = "\n".join(f"{place}. {item}" for place, item in enumerate(words.listed("things")[:count], 1))
    answer = Answer("The user wants a list.", encode(items))
    return Turn(_spoken(random, asked) + random.choice(("", ".", "!")), (answer,))


def story_turn(random: Random) -> Turn:
    """Return a turn that asks for the story, perhaps about someone."""
    text = f"{phrase(random, 'story opening')} {phrase(random, 'story request')}".strip()
    parts = {name: choices[0] for name, choices in texts.STORY_PARTS.items()}
    asks = "you" in text
    if text.endswith(("story", "tale")) and random.random() < 0.4:
        name = random.choice(list(parts))
        parts[name] = random.choice(texts.STORY_PARTS[name])
        about = texts.STORY_ABOUT_HERO if name == "hero" else texts.STORY_ABOUT
        text += " " + expand(random, about).format(topic=parts[name])
    text = _spoken(random, text) + random.choice(("", ".", "!", "?" if asks else ""))
    told = "\n\n".join(" ".join(paragraph) for paragraph in texts.STORY).format(**parts)
    return Turn(text, (Answer("The user wants a story.", encode(told)),))


def echo_turn(random: Random, longest: int = 12) -> Turn:
    """Return a turn that asks to repeat a text."""
    while True:
        text = words.text(random, 1, longest) if random.random() < 0.7 else words.line(random)
        quote = random.choice(('"', '"', "'", "`", "`", ""))
        if quote and quote in text:
            continue
        filled = fill(_spoken(random, phrase(random, "say")) + f" {quote}{{T}}{quote}", {"T": text})
        try:
            content = filled.copy("T")
        except NotCopyableError:
            continue
        about = "The user wants me to repeat a text."
        return Turn(filled.text, (Answer(about, content),))


def name_turns(random: Random) -> tuple[Turn, Turn]:
    """Return the turn in which the user says a name, and one that asks for it."""
    while True:
        told = _spoken(random, phrase(random, "tell a name")) + " {N}" + random.choice(("", ".", "!"))
        filled = fill(told, {"N": words.word(random).capitalize()})
        try:
            name = filled.copy("N")
        except NotCopyableError:
            continue
        about = "The user tells me a name."
        said = Answer(about, encode("Nice to meet you, ") + name + encode("."))
        about = "The user asks for the name."
        answer = Answer(about, encode("Your name is ") + name + encode("."))
        asked = _spoken(random, phrase(random, "ask for the name")) + random.choice(("?", "", "?"))
        return Turn(filled.text, (said,)), Turn(asked, (answer,))


def compact_turn() -> Turn:
    """Return the turn in which the agent asks for a summary."""
    answer = Answer("The user wants a summary.", encode("We worked on the project. Nothing is left to do."))
    return Turn(developer_message.request("compact"), (answer,))


TITLES = {
    OPEN_FILE: "Reading a file",
    PRINT_TREE: "Looking into a folder",
    SEARCH: "A search",
    EXEC: "Running a command",
    APPLY_PATCH: "An edit",
    "greet": "A greeting",
    "chat": "A short talk",
    "count": "Some numbers",
    "long count": "Some numbers",
    "list": "A list of things",
    "story": "A story",
    "echo": "The same again",
    "unknown": "A question",
}


def title_turns(random: Random) -> tuple[Turn, Turn]:
    """Return a turn, and one in which the agent asks for the conversation's title."""
    about = random.choice(list(TITLES))
    first = tool_turn(random, about) if about in TOOLS else _TALKS[about](random)
    return first, Turn(developer_message.request("title"), (Answer("", encode(TITLES[about])),))


def init_turn(random: Random) -> Turn:
    """Return the turn in which the model writes an AGENTS.md."""
    path = encode("AGENTS.md")
    look = Call("The user wants several things. This is the first.", requests.list_call(()))
    lines = (encode("+# Notes"), encode("+"), encode("+- Read before you write."), encode("+- Run the tests."))
    write = Call("Now the next thing.", requests.patch_call("Add", path, *lines))
    result, answer = _patched(random, write.action)
    return Turn(developer_message.request("init"), (look, _folder_shown(random, look.action)[0], write, result, answer))


def unknown_turn(random: Random) -> Turn:
    """Return a turn that the model can't help with."""
    text = phrase(random, "unknown request")
    if random.random() < 0.15:
        text = requests.sentence(random) + " " + text
    text = _spoken(random, text) + random.choice(("", ".", "?", "?", "!"))
    about = texts.FALLBACK_THOUGHT
    return Turn(text, (Answer(about, encode(texts.FALLBACK_ANSWER)),))


_TALKS: dict[str, Callable[[Random], Turn]] = {
    "greet": greeting_turn,
    "chat": chat_turn,
    "count": count_turn,
    "long count": long_count_turn,
    "list": list_turn,
    "story": story_turn,
    "echo": echo_turn,
    "unknown": unknown_turn,
}

# --- dialogues ---

_TOOL_WEIGHTS = (28, 20, 15, 20, 21)


def past_turns(random: Random, count: int) -> list[Turn]:
    """Return short turns to stand before another one."""
    turns: list[Turn] = []
    for _ in range(count):
        kind = random.random()
        if kind < 0.35:
            turns.append(chat_turn(random))
        elif kind < 0.45:
            turns.append(unknown_turn(random))
        elif kind < 0.52:
            turns.append(echo_turn(random, 6))
        elif kind < 0.57:
            turns.append(count_turn(random, 20))
        else:
            turns.append(tool_turn(random, random.choices(TOOLS, _TOOL_WEIGHTS)[0]))
    return turns


def turn(random: Random) -> tuple[list[Turn], Turn]:
    """Return a random turn, and the turns that must stand before it."""
    kind = random.choices(
        (
            "call",
            "result",
            "chain",
            "chat",
            "greet",
            "count",
            "long count",
            "list",
            "story",
            "echo",
            "name",
            "unknown",
            "compact",
            "init",
            "title",
        ),
        (46, 18, 4, 15, 3, 6, 1.5, 1.0, 1.3, 4, 1.5, 4, 0.8, 0.6, 7),
    )[0]
    if kind in ("call", "result"):
        tool = random.choices(TOOLS, _TOOL_WEIGHTS)[0]
        return [], tool_turn(random, tool, result=kind == "result")
    if kind == "name":
        told, asked = name_turns(random)
        return ([told], asked) if random.random() < 0.6 else ([], told)
    if kind == "title":
        first, asked = title_turns(random)
        return [first], asked
    makers = {**_TALKS, "chain": chain_turn, "compact": lambda _: compact_turn(), "init": init_turn}
    return [], makers[kind](random)


def dialogue(random: Random, avoided: frozenset[str] = frozenset()) -> Dialogue:
    """Return a dialogue to learn from: one turn, perhaps with past ones before it.

    `avoided` are the outlines of requests that are kept for the test, see `outline`.
    """
    while True:
        before, last = turn(random)
        if outline(last.user) not in avoided:
            break
    made = Dialogue()
    if random.random() < 0.05:
        last = Turn(f"{requests.editor_note(random)}\n\n{last.user}", last.steps)
    count = random.choices((0, 1, 2), (88, 9, 3))[0]
    for past in (*past_turns(random, count), *before):
        made.turn(past, past=True)
    made.turn(last)
    return made


_MARKS = ".,:;!?`\"'*\u201c\u201d\u2018\u2019"


def outline(text: str) -> str:
    """Return a request without its names, quotes, case and signs, to compare wordings."""
    kept = [word.strip(_MARKS).lower() for word in text.split()]
    return " ".join("_" if any(not sign.isalpha() and sign != "'" for sign in word) else word for word in kept if word)

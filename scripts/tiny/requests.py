"""What a user asks a tool for, with the call that answers it.

Knows how people ask (by the rules in phrases.txt) and what a call looks like. Knows nothing about messages or channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from gptoss_acp.tool_names import APPLY_PATCH, EXEC, OPEN_FILE, PRINT_TREE, SEARCH
from tiny import words
from tiny.grammar import Filled, NotCopyableError, Tokens, change, encode, expand, fill, phrase

_LINE_BREAK = encode("\\n")
"""In JSON. Encoded alone, like what is copied before and behind it."""


@dataclass(frozen=True)
class Action:
    """A call: the recipient, and the arguments as the model writes them."""

    tool: str
    content: Tokens


@dataclass(frozen=True)
class Request:
    """What the user writes, and what the model shall do, in order."""

    text: str
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class _Clause:
    """A request without its wrapping. `kind` says how it may be wrapped, `open_end` that it ends in a bare argument."""

    kind: str
    skeleton: str
    values: dict[str, str]
    action: Callable[[Filled], Action]
    open_end: bool = False


def request(random: Random, tool: str) -> Request:
    """Return a random request that `tool` answers."""
    while True:
        clause = _CLAUSES[tool](random)
        filled = fill(_wrap(random, clause), clause.values)
        try:
            return Request(filled.text, (clause.action(filled),))
        except NotCopyableError:
            continue


def chain(random: Random) -> Request:
    """Return a request for two or three things, one after the other."""
    while True:
        skeleton = phrase(random, "chain opening")
        values: dict[str, str] = {}
        actions: list[Callable[[Filled], Action]] = []
        for slot in "PQR"[: random.choices((2, 3), (75, 25))[0]]:
            kind = random.choice(("chain read", "chain list", "chain command"))
            text = phrase(random, kind).replace("{P}", f"{{{slot}}}")
            if kind == "chain command":
                values[slot] = words.command(random)
                actions.append(_shell_action(slot))
            else:
                values[slot] = words.file(random) if kind == "chain read" else words.folder(random)
                actions.append(_read_action(slot) if kind == "chain read" else _list_action(slot))
                text = _quoted(random, text, slot)
            joint = phrase(random, "chain joint") if len(values) > 1 else ""
            skeleton += ("" if joint[:1] in {",", ";", "."} else " ") + joint + " " + text
        filled = fill(_cased(random, " ".join(skeleton.split())), values)
        try:
            return Request(filled.text, tuple(action(filled) for action in actions))
        except NotCopyableError:
            continue


def sentence(random: Random) -> str:
    """Return a sentence that asks for nothing."""
    return phrase(random, "distractor")


def editor_note(random: Random) -> str:
    """Return what some editors put in front of the user's words: what is open, and rules of their own."""
    opening, end = random.choice(_NOTE_BOUNDS)
    return "\n".join([opening, *(_note_line(random) for _ in range(random.randint(5, 25))), end]).strip()


_NOTE_BOUNDS = (
    ("<system-reminder>", "</system-reminder>"),
    ("<context>", "</context>"),
    ("# Context", ""),
    ("[Notes from the editor]", "[End of the notes]"),
    ("Editor context:", "The user says:"),
    ("---", "---"),
    ("", ""),
)


def _note_line(random: Random) -> str:
    return random.choice(
        (
            f"- {sentence(random)}",
            sentence(random),
            " ".join(sentence(random) for _ in range(random.randint(2, 5))),
            f"Open file: {words.file(random)}",
            f"- {words.file(random)} (line {random.randint(1, 900)})",
            f"The cursor is in {words.file(random)}, line {random.randint(1, 900)}.",
            f"Selected text: `{words.code(random)}`",
            f"You must {words.word(random)} the {words.word(random)}.",
        )
    )


# --- calls ---


def read_call(path: Tokens, more: Tokens = ()) -> Action:
    """Return the call that opens a file; `more` is further arguments as JSON. What is copied is spelt as in JSON."""
    end = encode('"') + more + encode("}") if more else encode('"}')
    return Action(OPEN_FILE, encode('{"path":"') + path + end)


def list_call(path: Tokens) -> Action:
    """Return the call that lists a folder."""
    return Action(PRINT_TREE, encode('{"path":"') + path + encode('","') + encode('depth":1}'))


def search_call(pattern: Tokens, path: Tokens = ()) -> Action:
    """Return the call that searches, everywhere or in one path."""
    content = encode('{"path":"') + path + encode('","') + encode('query":"') + pattern
    return Action(SEARCH, content + encode('"}'))


def shell_call(command: Tokens) -> Action:
    """Return the call that runs a command line with bash."""
    return Action(EXEC, encode('{"command":["bash","-lc","') + command + encode('"]}'))


def patch_call(verb: str, path: Tokens, *lines: Tokens) -> Action:
    """Return the call that adds, updates or deletes a file; `lines` begin with their mark."""
    content = encode('{"patch":"***') + encode(" Begin Patch") + _LINE_BREAK + encode(f"*** {verb} File: ") + path
    for line in lines:
        content += _LINE_BREAK + line
    return Action(APPLY_PATCH, content + _LINE_BREAK + encode('*** End Patch"}'))


def _read_action(slot: str) -> Callable[[Filled], Action]:
    return lambda filled: read_call(filled.copy(slot, in_json=True))


def _list_action(slot: str) -> Callable[[Filled], Action]:
    return lambda filled: list_call(filled.copy(slot, in_json=True))


def _shell_action(slot: str) -> Callable[[Filled], Action]:
    return lambda filled: shell_call(filled.copy(slot, in_json=True))


# --- clauses, tool by tool ---


def _read(random: Random) -> _Clause:
    kind = random.choices(("imperative", "question", "statement", "part"), (46, 28, 22, 4))[0]
    if kind == "part":
        return _read_part(random)
    skeleton = phrase(random, {"imperative": "read file"}.get(kind, f"file {kind}"))
    return _Clause(kind, _quoted(random, skeleton, "P"), {"P": words.file(random)}, _read_action("P"))


def _read_part(random: Random) -> _Clause:
    number = random.choice(("10", "20", "5", "3", "30", "50", "100", "200", str(random.randint(2, 999))))
    rule, key = random.choice((("first lines", '"line_end":'), ("from line", '"line_start":')))

    def action(filled: Filled) -> Action:
        more = encode(",") + encode(key) + filled.copy("N")
        return read_call(filled.copy("P", in_json=True), more)

    skeleton = _quoted(random, phrase(random, rule), "P")
    return _Clause("imperative", skeleton, {"P": words.file(random), "N": number}, action)


def _list(random: Random) -> _Clause:
    if random.random() < 0.3:
        kind, rule = random.choices((("imperative", "here request"), ("question", "here question")), (60, 40))[0]
        return _Clause(kind, phrase(random, rule), {}, lambda _: list_call(()))
    kind = random.choices(("imperative", "question", "statement"), (50, 25, 25))[0]
    skeleton = phrase(random, f"list {kind}")
    folder = words.folder(random)
    if "{S}" in skeleton:
        # Only the slash at its end says that this is a folder.
        folder = folder.rstrip("/") + "/"
        skeleton = skeleton.replace("{S}", "{P}")
    return _Clause(kind, _quoted(random, skeleton, "P"), {"P": folder}, _list_action("P"))


def _search(random: Random) -> _Clause:
    several_words = random.random() < 0.25
    values = {"X": words.text(random, 2, 4).rstrip(".?!,") if several_words else words.identifier(random)}
    kind = random.choices(("imperative", "question", "statement"), (62, 30, 8))[0]
    skeleton = phrase(random, f"search {kind}")
    where = random.choices(("path", "everywhere", ""), (42, 20, 38))[0]
    if where == "path":
        values["P"] = words.folder(random) if random.random() < 0.6 else words.file(random)
        skeleton = f"in {{P}} {skeleton}" if random.random() < 0.08 else f"{skeleton} {phrase(random, 'place')}"
    elif where:
        skeleton += " " + phrase(random, where)

    def action(filled: Filled) -> Action:
        path = filled.copy("P", in_json=True) if "P" in values else ()
        return search_call(filled.copy("X", in_json=True), path)

    skeleton = _quoted(random, _quoted(random, skeleton, "X", always=several_words), "P")
    return _Clause(kind, skeleton, values, action)


_FIXED_COMMANDS = (
    (
        "imperative",
        "(run|start|execute|try|launch|do) (the|our|my|all|all the) (tests|unit tests|test suite)",
        "pytest -q",
    ),
    ("question", "(do|are|will) (the|our|all) tests (pass|work|succeed|green|run)", "pytest -q"),
    ("imperative", "(test|check) (the project|the code|everything|it)", "pytest -q"),
    ("question", "(what time is it|what is the (time|date)|what (day|date) is it|what's the date( today|))", "date"),
    ("imperative", "(show me what changed|show the changes|show (me |)the diff)", "git diff"),
    ("imperative", "(build|compile) (the|this|our|my) (project|code|program)", "make"),
)


def _shell(random: Random) -> _Clause:
    if random.random() < 0.06:
        kind, asked, command = random.choice(_FIXED_COMMANDS)
        tokens = encode(command)
        return _Clause(kind, expand(random, asked), {}, lambda _: shell_call(tokens))
    kind = random.choices(("imperative", "question", "statement"), (70, 14, 16))[0]
    skeleton = phrase(random, f"command {kind}")
    at_end = skeleton.endswith("{X}")
    # A bare command in the middle of a sentence has no clear end: that is kept rare.
    bare = random.random() < (0.38 if at_end else 0.12)
    clear = re.match(r"(run|exec|start|launch|\$|>|!|bash|shell|command)", skeleton)
    values = {"X": words.command(random) if clear or not bare else words.known_command(random)}
    if not bare:
        skeleton = _quoted(random, skeleton, "X", always=True, code=True)
        skeleton = _safely_quoted(skeleton, values)
    return _Clause(kind, skeleton, values, _shell_action("X"), open_end=bare and at_end)


def _patch(random: Random) -> _Clause:
    return random.choices((_add_file, _edit_file, _delete_file), (42, 42, 16))[0](random)


def _add_file(random: Random) -> _Clause:
    kind, rule = random.choices((("imperative", "add file"), ("statement", "add file statement")), (82, 18))[0]
    skeleton = phrase(random, rule)
    content = words.text(random, 1, 9) if random.random() < 0.75 else words.code(random)
    values = {"P": words.file(random), "T": content}
    bare = skeleton.endswith("{T}") and random.random() < 0.25
    if not bare:
        skeleton = _safely_quoted(_quoted(random, skeleton, "T", always=True), values)

    def action(filled: Filled) -> Action:
        return patch_call("Add", filled.copy("P", in_json=True), encode("+") + filled.copy("T", in_json=True))

    return _Clause(kind, _quoted(random, skeleton, "P"), values, action, open_end=bare)


def _edit_file(random: Random) -> _Clause:
    kind, rule = random.choices((("imperative", "edit file"), ("statement", "edit file statement")), (80, 20))[0]
    skeleton = phrase(random, rule)
    bare = random.random() < 0.28
    values = {"P": words.file(random)}
    for slot in "ON":
        simple = [words.name(random), words.word(random), str(random.randint(0, 9999))]
        longer = [words.text(random, 1, 4), words.code(random), words.code(random)]
        values[slot] = random.choice(simple if bare else simple + longer)
    if random.random() < 0.4:
        values["N"] = _altered(random, values["O"])
    if not bare:
        quote = random.choice(('"', '"', "'", "`", "`"))
        skeleton = re.sub(r"\{[ON]\}", lambda match: quote + match.group(0) + quote, skeleton)
        skeleton = _safely_quoted(skeleton, values)

    def action(filled: Filled) -> Action:
        old, new = (encode(sign) + filled.copy(slot, in_json=True) for sign, slot in ("-O", "+N"))
        return patch_call("Update", filled.copy("P", in_json=True), old, new)

    return _Clause(kind, _quoted(random, skeleton, "P"), values, action)


def _altered(random: Random, old: str) -> str:
    """Return `old` with one word or number of it replaced, as most edits do."""
    pieces = re.split(r"(\w+)", old)
    place = random.randrange(1, len(pieces), 2)
    digits = pieces[place].isdecimal()
    pieces[place] = str(random.randint(0, 10 ** len(pieces[place]))) if digits else words.word(random)
    return "".join(pieces)


def _delete_file(random: Random) -> _Clause:
    def action(filled: Filled) -> Action:
        return patch_call("Delete", filled.copy("P", in_json=True))

    return _Clause("imperative", _quoted(random, phrase(random, "delete file"), "P"), {"P": words.file(random)}, action)


_CLAUSES: dict[str, Callable[[Random], _Clause]] = {
    OPEN_FILE: _read,
    PRINT_TREE: _list,
    SEARCH: _search,
    EXEC: _shell,
    APPLY_PATCH: _patch,
}


# --- wrapping ---

_QUOTES = (("", ""), ("`", "`"), ('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"), ("**", "**"))


def _quoted(random: Random, skeleton: str, slot: str, *, always: bool = False, code: bool = False) -> str:
    weights = (0 if always else 62, 56 if code else 22, 20 if code else 11, 8, 1, 1, 0 if always else 1)
    left, right = random.choices(_QUOTES, weights)[0]
    return skeleton.replace(f"{{{slot}}}", f"{left}{{{slot}}}{right}")


def _safely_quoted(skeleton: str, values: dict[str, str]) -> str:
    """Return the skeleton with backticks where other quotes would collide with those in an argument."""
    if not any(sign in value for value in values.values() for sign in "\"'"):
        return skeleton
    return re.sub(r"[\"'\u201c\u2018](\{[XTON]\})[\"'\u201d\u2019]", r"`\1`", skeleton)


def _wrap(random: Random, clause: _Clause) -> str:
    """Return the whole message: politeness, what stands before and after, case, slips."""
    rule = "wrapped" if clause.kind == "imperative" else f"wrapped {clause.kind}"
    if clause.open_end and clause.kind != "statement":
        rule += " open"
    before, after = phrase(random, rule).split("{X}")
    text = f"{before}{clause.skeleton}{after}"
    if not clause.open_end and not text.endswith("?"):
        text += random.choices(("", ".", "!", "...", " ."), (52, 40, 6, 1, 1))[0]
    text = _cased(random, text)
    if random.random() < 0.03:
        text = change(text, lambda piece: _slip(random, piece))
    if random.random() < 0.12:
        text = _joined(random, sentence(random), text)
    if not clause.open_end and random.random() < 0.06:
        text = _joined(random, text if text.endswith((".", "?", "!")) else text + ".", sentence(random))
    return text


def _cased(random: Random, text: str) -> str:
    style = random.random()
    if style < 0.25:
        return change(text, str.lower)
    if style < 0.62:
        return text[0].upper() + text[1:]
    return change(text, str.upper) if style < 0.625 else text


def _joined(random: Random, first: str, second: str) -> str:
    return first + random.choice((" ", " ", " ", " ", "\n", "\n\n")) + second


def _slip(random: Random, piece: str) -> str:
    """Return the piece with a letter lost, swapped or doubled, or a blank too many."""
    if len(piece) < 4:
        return piece
    place = random.randrange(1, len(piece) - 1)
    kind = random.random()
    if not piece[place].isalpha() or kind < 0.1:
        return piece.replace(" ", "  ", 1)
    if kind < 0.5:
        return piece[:place] + piece[place + 1 :]
    if kind < 0.8 and piece[place + 1].isalpha():
        return piece[:place] + piece[place + 1] + piece[place] + piece[place + 2 :]
    return piece[:place] + piece[place] + piece[place:]

"""Turns in which the model only talks: small talk, numbers, lists, a story.

Knows what is said. Knows nothing about messages or tools.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from gptoss_acp.briefing import developer_message
from tiny import requests, texts, words
from tiny.grammar import NotCopyableError, encode, expand, fill, phrase
from tiny.turns import Answer, Turn


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
        last = min(first + random.randint(1, min(30, longest)), 100)
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


def unknown_turn(random: Random) -> Turn:
    """Return a turn that the model can't help with."""
    text = phrase(random, "unknown request")
    if random.random() < 0.15:
        text = requests.sentence(random) + " " + text
    text = _spoken(random, text) + random.choice(("", ".", "?", "?", "!"))
    about = texts.FALLBACK_THOUGHT
    return Turn(text, (Answer(about, encode(texts.FALLBACK_ANSWER)),))


TALKS: dict[str, Callable[[Random], Turn]] = {
    "greet": greeting_turn,
    "chat": chat_turn,
    "count": count_turn,
    "long count": long_count_turn,
    "list": list_turn,
    "story": story_turn,
    "echo": echo_turn,
    "unknown": unknown_turn,
}

"""Random names: words, paths, commands, lines of text and of code.

Knows what names in a project look like. Knows nothing about requests or tools.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

from gptoss_acp import vocabulary
from tiny import texts


@cache
def listed(title: str) -> tuple[str, ...]:
    """Return a list of names.txt."""
    text = (Path(__file__).parent / "names.txt").read_text("utf-8")
    return tuple(text.split(f"\n{title}:\n")[1].split("\n\n")[0].split())


@cache
def common() -> tuple[str, ...]:
    """Return frequent lower-case words that are one token with a leading blank and without."""
    bare = set(vocabulary.token_bytes())
    spaced = (piece[1:] for piece in vocabulary.token_bytes() if piece[:1] == b" " and len(piece) > 2)
    words = [piece for piece in spaced if piece.isascii() and piece.isalpha() and piece.islower()]
    return tuple(piece.decode() for piece in words[:12_000] if piece in bare)


@cache
def rare() -> tuple[str, ...]:
    """Return every ASCII word that is one token without a leading blank."""
    return tuple(
        piece.decode() for piece in vocabulary.token_bytes() if piece.isascii() and piece.isalpha() and piece[1:]
    )


@cache
def foreign() -> tuple[str, ...]:
    """Return words in other scripts or with accents."""
    pieces = (piece.decode("utf-8", "ignore") for piece in vocabulary.token_bytes() if not piece.isascii())
    return tuple(piece for piece in pieces if len(piece) > 1 and piece.isalpha())


def word(random: Random) -> str:
    """Return a word as in a file name."""
    kind = random.random()
    if kind < 0.42:
        return random.choice(listed("developer words"))
    if kind < 0.74:
        return random.choice(common())
    if kind < 0.87:
        return random.choice(rare())
    if kind < 0.88:
        return random.choice(foreign())
    if kind < 0.97:
        syllables = random.randint(1, 4)
        return "".join(random.choice("bcdfghklmnprstvwz") + random.choice("aeiou") for _ in range(syllables))
    return "".join(random.choice("0123456789abcdef") for _ in range(random.randint(2, 8)))


def name(random: Random) -> str:
    """Return an identifier or the stem of a file name."""
    first, second = word(random), word(random)
    return random.choices(
        (
            first,
            f"{first}_{second}",
            f"{first}-{second}",
            first.capitalize() + second.capitalize(),
            f"{first}{random.randint(0, 999)}",
            f"{first}_{second}_{word(random)}",
            first.capitalize(),
            f"{first}.{second}",
        ),
        (46, 22, 8, 6, 7, 4, 4, 3),
    )[0]


def identifier(random: Random) -> str:
    """Return a name from code."""
    first, second = word(random), word(random)
    return random.choices(
        (
            f"{first}_{second}",
            first,
            first + second.capitalize(),
            first.capitalize() + second.capitalize(),
            f"{first.upper()}_{second.upper()}",
            first.upper(),
            f"{first}_{second}_{word(random)}",
            f"{first}.{second}",
            f"_{first}",
            random.choice(listed("search tags")),
            f"{first}()",
        ),
        (30, 16, 9, 9, 5, 4, 6, 3, 2, 12, 2),
    )[0]


def file(random: Random) -> str:
    """Return the path of a file."""
    if random.random() < 0.12:
        return random.choice(listed("well known files"))
    last = name(random) + random.choice(listed("extensions"))
    if random.random() < 0.06:
        last = random.choice(listed("well known files")).lstrip("/")
    if random.random() < 0.02:
        last = f"{word(random)} {last}"
    return _below(random, last, (42, 32, 17, 9))


def folder(random: Random) -> str:
    """Return the path of a folder, with a slash at its end now and then."""
    if random.random() < 0.18:
        path = random.choice(listed("well known folders"))
    else:
        path = _below(random, name(random), (50, 32, 14, 4))
    return path + "/" if random.random() < 0.25 else path


def _below(random: Random, last: str, depths: tuple[int, int, int, int]) -> str:
    parents = [name(random) for _ in range(random.choices(range(4), depths)[0])]
    root = random.choices(
        ("", "/", "./", "../", "~/", "/tmp/", "/home/" + word(random) + "/", "/var/log/", "/etc/", "/Users/me/"),
        (78, 3, 4, 3, 2, 4, 3, 1, 1, 1),
    )[0]
    return root + "/".join([*parents, last])


def text(random: Random, shortest: int, longest: int) -> str:
    """Return a line of words, with some punctuation."""
    if random.random() < 0.05:
        return random.choice(texts.TEXTS)
    words = [
        random.choice(common()) if random.random() < 0.7 else word(random)
        for _ in range(random.randint(shortest, longest))
    ]
    if random.random() < 0.4:
        words[0] = words[0].capitalize()
    for place in range(len(words) - 1):
        kind = random.random()
        if kind < 0.06:
            words[place] += ","
        elif kind < 0.08:
            words[place] += ":"
        elif kind < 0.10:
            words[place] = str(random.randint(0, 9999))
        elif kind < 0.11:
            words[place] = f"({words[place]})"
    return " ".join(words) + random.choices(("", ".", "!", "?"), (70, 20, 6, 4))[0]


def code(random: Random) -> str:
    """Return a line of code."""
    a, b, c = name(random), word(random), word(random)
    return random.choice(
        (
            f"import {b}",
            f"from {b} import {c}",
            f"{a} = {random.randint(0, 9999)}",
            f"def {a}({b}):",
            f"{a} = {b}({c})",
            f"# {text(random, 2, 6)}",
            f"return {b}",
            f"print({b})",
            f"let {a} = {random.randint(0, 99)};",
            f"fn {b}() {{",
            f"const {b} = {c}();",
            f"class {b.capitalize()}:",
            f"{b}: {c}",
            f"- {text(random, 1, 5)}",
            f"# {b.capitalize()}",
            f"{a} = '{b}'",
            f'{a} = "{text(random, 1, 3)}"',
            f"<{b}>{c}</{b}>",
        )
    )


def line(random: Random) -> str:
    """Return a line of a file or of a command's output."""
    return text(random, 1, 10) if random.random() < 0.55 else code(random)


def flag(random: Random) -> str:
    """Return an option of a command."""
    return random.choice(
        (
            "-" + random.choice("abcdefghilnprstuvwx"),
            "-" + random.choice(("la", "rn", "lh", "rf", "xe", "vv", "it", "9", "10", "q", "v")),
            "--" + word(random),
            f"--{word(random)}={word(random)}",
            "--"
            + random.choice(
                ("version", "help", "all", "verbose", "quiet", "dry-run", "force", "release", "fix", "watch")
            ),
        )
    )


def known_command(random: Random) -> str:
    """Return a command that starts with a program everyone knows."""
    a, b = word(random), word(random)
    return random.choice(
        (
            "ls",
            "pwd",
            "date",
            "whoami",
            "uname -a",
            "git status",
            "git diff",
            "make",
            "pytest",
            "pytest -q",
            "npm test",
            "npm install",
            f"ls {flag(random)}",
            f"ls -la {folder(random)}",
            f"cat {file(random)}",
            f"echo {text(random, 1, 5)}",
            f'echo "{text(random, 1, 4)}"',
            f"git log -n {random.randint(1, 50)}",
            f"git log {flag(random)}",
            f"git checkout {name(random)}",
            f"git commit -m '{text(random, 1, 4)}'",
            f"git {a} {flag(random)}",
            f"git {random.choice(('add', 'pull', 'push', 'fetch', 'stash', 'show', 'branch', 'blame'))}",
            f"pytest {file(random)}",
            f"pytest -q {folder(random)}",
            f"pytest -k {a}",
            f"python {file(random)}",
            f"python3 {file(random)} {flag(random)}",
            f"python -m {a}",
            f"python -m {a} {flag(random)}",
            f"python -c 'print({random.randint(0, 99)})'",
            f"make {a}",
            f"npm run {a}",
            f"npm {a}",
            f"yarn {a}",
            f"cargo {random.choice(('build', 'test', 'run', 'check', 'clippy', 'fmt'))}",
            f"cargo {a} {flag(random)}",
            f"grep -rn {a} {folder(random)}",
            f"grep {a} {file(random)} | head -n {random.randint(1, 99)}",
            f"find . -name '*{random.choice(listed('extensions'))}'",
            f"rm {file(random)}",
            f"rm -rf {folder(random)}",
            f"mkdir -p {folder(random)}",
            f"cp {file(random)} {file(random)}",
            f"mv {file(random)} {file(random)}",
            f"touch {file(random)}",
            f"head -n {random.randint(1, 99)} {file(random)}",
            f"tail {file(random)}",
            f"wc -l {file(random)}",
            f"sleep {random.randint(1, 60)}",
            f"cd {folder(random)} && make {a}",
            f"go {random.choice(('build', 'test', 'run', 'vet'))} ./...",
            f"docker {a} {b}",
            f"docker {a}",
            f"pip install {name(random)}",
            f"seq {random.randint(1, 9)} {random.randint(10, 999)}",
            f"echo {random.randint(0, 99999)}",
            f"bash {name(random)}.sh",
            f"ruff check {folder(random)}",
            f"node {file(random)}",
            f"curl {flag(random)} localhost:{random.randint(1000, 9999)}",
        )
    )


def command(random: Random) -> str:
    """Return any command line."""
    if random.random() < 0.65:
        return known_command(random)
    a, b = word(random), word(random)
    return random.choice(
        (
            f"{a} {flag(random)}",
            f"{a} {b}",
            f"{a} {flag(random)} {b}",
            f"{a} {b} {flag(random)} {file(random)}",
            f"{a} {file(random)}",
            f"{a} {flag(random)} {flag(random)} > {file(random)}",
            f"{a}; {b}",
            f"{a} {b} && {known_command(random)}",
            f"{known_command(random)} | {a} {flag(random)}",
            f"./{a}.sh {flag(random)}",
            f"{a}",
            f"{a.upper()}={b} {known_command(random)}",
            f'{a} "{text(random, 1, 3)}"',
        )
    )

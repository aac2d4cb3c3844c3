"""Everything fixed that the model says, and the words that names are made of.

Knows only strings; what users say is in phrases.txt.
"""

from __future__ import annotations

STORY = (
    (
        "Once upon a time, in a quiet {place}, there lived a young maker named {hero}.",
        "{hero} loved to build things, and every morning began with a new idea.",
        "One evening, while the rain tapped on the roof, {hero} found an old {thing} under the floor.",
        "The {thing} was warm, and it hummed as if it wanted to speak.",
    ),
    (
        '"Follow the river," said a voice, and {hero} turned around to see a small {animal} at the door.',
        "The {animal} explained that the great clock of the {place} had stopped.",
        "Without the clock, nobody knew when to plant, when to bake, or when to sleep.",
        "{hero} packed some bread, a blanket, and the {thing}, and they set off before sunrise.",
    ),
    (
        "They crossed a bridge of stone and climbed a hill covered with yellow flowers.",
        "At the top of the hill stood a tower with a hundred windows.",
        "Inside, a thousand little wheels lay still, covered with dust.",
        "{hero} looked at the wheels for a long time and began to count them, one by one.",
    ),
    (
        '"One wheel is missing," said {hero}, "and I think I know where it is."',
        "The {thing} fit into the empty place as if it had been made for it.",
        "For a moment nothing happened, and the {animal} held its breath.",
        "Then the smallest wheel began to turn, and then the next, and then all of them.",
    ),
    (
        "Bells rang over the {place}, and people came out of their houses to look at the sky.",
        "The baker baked, the trains arrived, and the stars found their way home.",
        "The people asked {hero} to stay in the tower and take care of the clock.",
        "{hero} agreed, but only if the {animal} could stay as well.",
    ),
    (
        "Since then, every evening, a small light can be seen in the highest window.",
        "It is {hero}, fixing one more little thing, with a happy {animal} asleep beside the lamp.",
        "And whenever something stops working, the people say: do not worry, just begin with one wheel.",
    ),
    ("The end.",),
)
"""Paragraphs of sentences. One story, so that every word of a long answer is sure."""

STORY_PARTS = {
    "hero": ("Mira", "Tom", "Lena", "Otto", "Nina", "Sam", "Ada", "Leo"),
    "animal": ("fox", "owl", "cat", "dog", "bear", "hare"),
    "place": ("forest", "village", "harbor", "valley", "city", "island"),
    "thing": ("lantern", "map", "key", "compass", "book", "bell"),
}
"""The first of each is taken when the user names none."""

STORY_ABOUT = " (about|with|of) (a|an|the|some|one) {topic}"
STORY_ABOUT_HERO = " (about|with|for) {topic}"

GREETING_TAILS = (
    *[""] * 4,
    *(
        " all",
        " friend",
        " you",
        " model",
        " bot",
        " robot",
        " agent",
        " computer",
        " again",
        " everyone",
        " my friend",
    ),
)

_KNOWN = "The user asks a simple question. I know the answer."

CHAT: dict[str, tuple[str, str]] = {
    "hello": (
        "The user wants a greeting.",
        "Hello, it is nice to meet you!",
    ),
    "identity": (
        "The user asks who I am.",
        (
            "I am a tiny demo model with the gpt-oss architecture. I know only a few things, but I speak "
            "real Harmony and I run on your own machine."
        ),
    ),
    "abilities": (
        "The user asks what I can do.",
        (
            "I can read files, list folders, search for text, run commands and change files. I can also "
            "count, tell a long story and answer a few simple questions."
        ),
    ),
    "thanks": (
        "The user is happy.",
        "You are welcome! Let me know if you need anything else.",
    ),
    "goodbye": (
        "The user says goodbye.",
        "Goodbye! See you next time.",
    ),
    "alive": (
        "The user wants to know if I am here.",
        "Yes, I am here and everything works.",
    ),
    "agree": (
        "The user agrees.",
        "Good. What shall I do next?",
    ),
    "disagree": (
        "The user says no.",
        "All right, I will not do that. What would you like instead?",
    ),
    "sorry": (
        "The user is sorry.",
        "No problem at all.",
    ),
    "weather": (
        "The user asks about the weather.",
        "I cannot see the weather from here, but I hope that it is sunny.",
    ),
    "joke": (
        "The user wants a joke.",
        "Why do programmers like dark mode? Because light attracts bugs.",
    ),
    "poem": (
        "The user wants a poem.",
        (
            "Small bits of light in silent rows,\nA river made of numbers flows.\nWe write, we test, we "
            "read, we mend,\nAnd every loop will find its end."
        ),
    ),
    "python hello": (
        "The user wants a small program.",
        '```python\nprint("Hello, world!")\n```\n\nSave it as `hello.py` and run it with Python.',
    ),
    "fibonacci": (
        "The user wants a small program.",
        (
            "```python\ndef fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    "
            "return a\n```\n\nThe function returns the n-th Fibonacci number."
        ),
    ),
    "recursion": (
        _KNOWN,
        (
            "Recursion means that a function calls itself with a smaller problem until it reaches one "
            "that it can answer directly."
        ),
    ),
    "git": (
        _KNOWN,
        (
            "Git is a version control system. It keeps the history of your files, so that you can "
            "compare, undo and share changes."
        ),
    ),
    "python": (
        _KNOWN,
        "Python is a programming language with a simple and readable syntax.",
    ),
    "rust": (
        _KNOWN,
        "Rust is a programming language that is fast and checks memory safety when the program is compiled.",
    ),
    "acp": (
        _KNOWN,
        (
            "The Agent Client Protocol connects a code editor with a coding agent. They exchange JSON "
            "messages, for example prompts, updates and permission requests."
        ),
    ),
    "harmony": (
        _KNOWN,
        (
            "Harmony is the message format of the gpt-oss models. It uses roles, channels and special "
            "tokens for analysis, tool calls and final answers."
        ),
    ),
    "mlx": (
        _KNOWN,
        (
            "MLX is an array framework for machine learning. It was made for Apple silicon, and it also "
            "runs on other machines."
        ),
    ),
    "experts": (
        _KNOWN,
        "A mixture of experts is a model with many small networks. A router picks a few of them for each token.",
    ),
    "token": (
        _KNOWN,
        (
            "A token is a small piece of text, for example a word or a part of a word. A language model "
            "reads and writes text token by token."
        ),
    ),
    "test": (
        _KNOWN,
        (
            "A unit test checks one small part of a program. Good tests run fast and tell you at once "
            "when something breaks."
        ),
    ),
    "capital": (
        _KNOWN,
        "The capital of France is Paris.",
    ),
    "sum": (
        _KNOWN,
        "2 + 2 is 4.",
    ),
    "alphabet": (
        _KNOWN,
        "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    ),
    "weekdays": (
        _KNOWN,
        "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.",
    ),
    "colors": (
        _KNOWN,
        "- Red\n- Orange\n- Yellow\n- Green\n- Blue\n- Indigo\n- Violet",
    ),
    "plan": (
        "The user wants a plan.",
        "1. Read the code\n2. Write a failing test\n3. Fix the problem\n4. Run all tests\n5. Review the change",
    ),
}
"""Topic: what the model thinks of it, and what it answers. What the user says is in phrases.txt, under `chat topic`."""

GREETING_ANSWER = "Hello! I am a tiny demo model. What can I do for you?"
GREETING_THOUGHT = "The user greets me."

TOO_FAR_THOUGHT = "The user wants me to count too far."
TOO_FAR_ANSWER = "I only count to 100. Please ask me for a smaller number."

FALLBACK_THOUGHT = "I do not know how to do that."
FALLBACK_ANSWER = (
    "I am only a tiny demo model, so I cannot do that. "
    "I can read files, list folders, search, run commands, change files, count and tell stories."
)

TEXTS = (
    "hello world",
    "Hello, world!",
    "hello",
    "Hello World",
    'print("hello")',
    "This is a test",
    "test",
    "It works!",
    "done",
    "foo bar",
    "42",
    "1, 2, 3",
    "first line",
    "my name is Tom",
)

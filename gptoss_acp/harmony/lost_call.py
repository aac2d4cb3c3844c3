"""A message that is one JSON object: a tool call whose header has lost its recipient.

Knows how such a text begins and ends. Knows nothing about headers or tools.
"""

from __future__ import annotations


class OneObject:
    """Whether a text may still be one JSON object, told as it comes, by its first key, its strings and its brackets.

    `begun`: more than blanks have come. Only so much is held back of a preamble that begins with a brace as may be a
    call.
    """

    def __init__(self) -> None:
        self.possible = True
        self._depth = 0
        self.begun = False
        self._in_string = False
        self._escaped = False
        self._awaited = "{"

    def feed(self, text: str) -> bool:
        """Take the next piece and return whether all of it so far may be, or begin, an object; blank text may."""
        for character in text:
            if not self.possible:
                break
            self._take(character)
        return self.possible

    def _take(self, character: str) -> None:
        if self._in_string:
            self._take_in_string(character)
        elif not character.isspace():
            self._take_outside(character)

    def _take_in_string(self, character: str) -> None:
        if self._escaped or character == "\\":
            self._escaped = not self._escaped
        elif character == '"':
            self._in_string = False
            self._awaited = ":" if self._awaited == '"}' else ""

    def _take_outside(self, character: str) -> None:
        ended = self.begun and self._depth == 0
        self.begun = True
        if ended or (self._awaited and character not in self._awaited):
            self.possible = False
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._awaited = '"}' if self._depth == 0 else ""
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self._awaited = ""
        elif self._awaited == ":":
            self._awaited = ""

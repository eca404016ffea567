r"""GLM-4.5's reasoning, told from its answer as text comes. Pure.

The model writes `\n<think>REASONING</think>\nCONTENT`; where thinking is off the prompt holds the
empty tags, and it writes `\nCONTENT`. The tags and the line breaks at both ends of each part are
the format's, not the text's.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.sglang.plugins.glm.calls import CALL, CALL_END, HEAD, KEY
from launcher.engines.sglang.plugins.glm.events import partial_length

THINK: Final = "<think>"
THINK_END: Final = "</think>"

_LINE_BREAKS: Final = "\r\n"
_END: Final = re.compile(f"{THINK_END}|{CALL}")


class ReasoningParser:
    """Takes an answer, gives its reasoning and the rest.

    Args:
        in_reasoning: the text begins within the reasoning, with or without the tag.
        continuing: the text goes on with one that began in the prompt.
    """

    def __init__(self, *, in_reasoning: bool, continuing: bool = False) -> None:
        self.in_reasoning = in_reasoning
        self._text = ""
        self._begun = continuing  # whether the tag at the very beginning is behind us
        self._reasoned = continuing  # whether there was reasoning
        self._answered = continuing  # whether there was content

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece, cut anywhere; give reasoning and content that are certain."""
        self._text += text
        reasoning = ""
        if not self._begun and not self._begin():
            return "", ""
        if self.in_reasoning:
            reasoning = self._reason()
            if self.in_reasoning:
                return reasoning, ""
        return reasoning, self._answer()

    def end(self) -> tuple[str, str]:
        """Nothing more comes: give what was held back."""
        held, self._text = self._text, ""
        if self.in_reasoning:
            return self._without_first_breaks(held).rstrip(_LINE_BREAKS), ""
        return "", "" if not self._answered and not held.strip(_LINE_BREAKS) else held

    def _begin(self) -> bool:
        """Look for a tag at the beginning; say whether it is decided."""
        bare = self._text.lstrip()
        if any(tag.startswith(bare) and tag != bare for tag in (THINK, THINK_END)):
            return False
        if bare.startswith(THINK):
            self._text, self.in_reasoning = bare[len(THINK) :], True
        elif bare.startswith(THINK_END) and not self.in_reasoning:
            self._text = bare[len(THINK_END) :]
        self._begun = True
        return True

    def _reason(self) -> str:
        """Take reasoning off the text, up to its end if that is there."""
        start = 0
        while (found := _END.search(self._text, start)) is not None:
            if found[0] == CALL:
                decided = self._is_call(found.start())
                if decided is None:
                    return self._take(found.start(), found.start())
                if not decided:
                    start = found.end()
                    continue
            behind = found.start() if found[0] == CALL else found.end()
            self.in_reasoning = False
            return self._take(found.start(), behind).rstrip(_LINE_BREAKS)
        kept = max(partial_length(self._text, THINK_END), partial_length(self._text, CALL))
        end = len(self._text) - kept
        return self._take(end, end)

    def _take(self, end: int, behind: int) -> str:
        """Take the text up to `end` off; go on at `behind`. Line breaks before wait."""
        taken = self._text[:end]
        if self.in_reasoning:
            solid = taken.rstrip(_LINE_BREAKS)
            behind, taken = len(solid), solid
        taken = self._without_first_breaks(taken)
        self._text = self._text[behind:]
        self._reasoned = self._reasoned or bool(taken)
        return taken

    def _without_first_breaks(self, text: str) -> str:
        return text if self._reasoned else text.lstrip(_LINE_BREAKS)

    def _is_call(self, at: int) -> bool | None:
        """Whether a call begins there, and not a word about one; None: that is not known yet.

        A model that forgets `</think>` calls so.
        """
        head = HEAD.match(self._text, at)
        assert head is not None  # noqa: S101 - `_END` found the tag
        name, rest = head[2], self._text[head.end() :]
        if name and rest.startswith((KEY, CALL_END)):
            return True
        undecided = (KEY, CALL_END, "\\n") if name else ("\\n",)
        return None if any(tag.startswith(rest) for tag in undecided) else False

    def _answer(self) -> str:
        text, self._text = self._text, ""
        if not self._answered:
            text = text.lstrip(_LINE_BREAKS)
            self._answered = bool(text)
        return text

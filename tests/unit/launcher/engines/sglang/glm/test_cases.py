"""Answers that somebody made who had not seen the parsers: docs/answers.md has the scores.

`cases/first.json` was looked at while the parsers were made, `cases/second.json` afterwards.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import pytest

from launcher.engines.sglang.plugins.glm.calls import CallParser
from launcher.engines.sglang.plugins.glm.events import Content, Event
from launcher.engines.sglang.plugins.glm.reasoning import ReasoningParser
from tests.unit.launcher.engines.sglang.glm.answers import added_up, random_pieces

# Where we read an answer otherwise than its maker wanted, and why.
OTHERWISE: Final = {
    "a102": "a call that was cut off shows what there was",
    "a103": "a call that was cut off shows what there was",
    "b027": "which branch of a root's `oneOf` holds is known only behind the value",
    "b073": "the format cannot tell a call inside of a text from the end of that text",
    "b083": "a call that was cut off shows what there was",
    "b085": "a call that was cut off shows what there was",
    "b086": "a call that was cut off shows what there was",
    "b087": "a call that was cut off shows what there was",
    "b088": "a call that was cut off shows what there was",
    "b091": "what was cut off within reasoning is reasoning",
    "b106": "without its tags reasoning cannot be told from an answer, and thinking was on",
    "b111": "a tag behind a call that ended the reasoning stays",
    "b113": "a number in a Python literal is written anew: 1.50 becomes 1.5",
}


def literal(text: str) -> Any:
    """JSON in which each number stays as it is written; what is none stays text."""
    try:
        return json.loads(text, parse_int=lambda digits: ["int", digits], parse_float=_float)
    except ValueError:
        return text


def _float(digits: str) -> list[str]:
    return ["float", digits]


def cases(name: str) -> list[dict[str, Any]]:
    """A file of cases, in which the numbers of what is wanted stay as they are written."""
    text = (Path(__file__).parent / "cases" / f"{name}.json").read_text("utf-8")
    return [
        {**case, "want": exact["want"]}
        for case, exact in zip(json.loads(text), literal(text), strict=True)
    ]


CASES: Final = cases("first") + cases("second")


def answer(case: dict[str, Any], pieces: list[str]) -> dict[str, Any]:
    """What a client gets."""
    tools = case["tools"] or []
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") for tool in tools}
    reasoning = ReasoningParser(in_reasoning=case["thinking"])
    calls = CallParser(schemas)
    told = [reasoning.feed(piece) for piece in pieces] + [reasoning.end()]
    events: list[Event] = []
    for _, text in told:
        events += calls.feed(text) if tools else [Content(text)]
    read = added_up([*events, *calls.end()])
    return {
        "content": read.content or None,
        "reasoning": "".join(thought for thought, _ in told) or None,
        "calls": [
            {"name": name, "arguments": literal(arguments)} for name, arguments, _ in read.calls
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_an_answer_is_what_its_maker_wanted_whole_and_in_pieces(case: dict[str, Any]) -> None:
    whole = answer(case, [case["text"]])
    source = random.Random(case["id"])  # noqa: S311 - not for secrets
    for _ in range(5):
        assert answer(case, random_pieces(source, case["text"])) == whole
    wanted = {**case["want"], "calls": case["want"]["calls"] or []}
    assert (whole == wanted) is (case["id"] not in OTHERWISE), (whole, wanted)

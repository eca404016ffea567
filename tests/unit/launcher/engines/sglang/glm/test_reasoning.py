"""Reasoning, told from the answer whole and in pieces."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.engines.sglang.plugins.glm.reasoning import ReasoningParser
from tests.unit.launcher.engines.sglang.glm.answers import random_pieces

CALL = "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>"


def told(text: list[str], *, thinking: bool = True, continuing: bool = False) -> tuple[str, str]:
    parser = ReasoningParser(in_reasoning=thinking, continuing=continuing)
    parts = [parser.feed(piece) for piece in text] + [parser.end()]
    return "".join(part for part, _ in parts), "".join(part for _, part in parts)


@pytest.mark.parametrize(
    ("text", "thinking", "reasoning", "content"),
    [
        ("\n<think>Hm.</think>\nHello.", True, "Hm.", "Hello."),
        ("<think>\nHm.\n\nYes.\n</think>\n\nHello.\n", True, "Hm.\n\nYes.", "Hello.\n"),
        ("Hm.</think>Hello.", True, "Hm.", "Hello."),
        ("\n<think>Hm.\n", True, "Hm.", ""),
        ("\n<think></think>\nHello.", True, "", "Hello."),
        ("\nHello.", False, "", "Hello."),
        ("\n    indented", False, "", "    indented"),
        ("\n", False, "", ""),
        ("\n<think>Hm.</think>\nHello.", False, "Hm.", "Hello."),
        ("Use the <think> tag.", False, "", "Use the <think> tag."),
        ("</think>\nHello.", False, "", "Hello."),
        ("\n<think>I call.\n" + CALL, True, "I call.", CALL),
        ("\n<think>I call." + CALL, True, "I call.", CALL),
        ("\n<think>The <tool_call> tag.</think>\nHello.", True, "The <tool_call> tag.", "Hello."),
        ("\n<think>Hm.<tool_call>f", True, "Hm.<tool_call>f", ""),
    ],
)
def test_an_answer_is_told_apart(text: str, thinking: bool, reasoning: str, content: str) -> None:  # noqa: FBT001
    for pieces in ([text], list(text)):
        assert told(pieces, thinking=thinking) == (reasoning, content)


def test_an_answer_that_goes_on_keeps_its_line_breaks() -> None:
    assert told(["\n- second"], thinking=False, continuing=True) == ("", "\n- second")


PARTS = st.sampled_from(
    ("<think>", "</think>", "<tool_call>", "f\n", "<arg_key>", "\n", "\\n", "a", " ")
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.one_of(PARTS, st.text(max_size=4))),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_text_is_told_apart_the_same_however_it_comes(
    parts: list[str],
    thinking: bool,  # noqa: FBT001
    source: random.Random,
) -> None:
    text = "".join(parts)
    assert told(random_pieces(source, text), thinking=thinking) == told([text], thinking=thinking)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="<\r\n")), st.text())
def test_nothing_but_the_format_is_lost(reasoning: str, content: str) -> None:
    text = f"\n<think>{reasoning}</think>\n{content}"
    assert told([text]) == (reasoning, content.lstrip("\r\n"))

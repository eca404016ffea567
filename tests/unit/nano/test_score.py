"""What an answer is worth, and what the evaluation counts."""

from __future__ import annotations

import pytest

from clients import ChatReply, Timings, ToolCall
from tools.nano.text.dialogue import Dialogue, assistant, user
from tools.nano.worth import evaluate, score
from tools.nano.worth.parse import parse
from tools.nano.worth.score import Answer

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {"days": {"type": "integer"}, "code": {"type": "string"}},
            },
        },
    }
]
CALL = (
    "<tool_call>book\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n"
    "<arg_key>code</arg_key>\n<arg_value>7</arg_value>\n</tool_call>"
)


def answer(content: str = "", *, ended: bool = True) -> Answer:
    return Answer("", content, [], ended)


def test_an_answer_is_parsed_as_the_server_does() -> None:
    parsed = parse(f"\n<think>I use book.</think>\n{CALL}", TOOLS, thinking=True)
    assert parsed == Answer("I use book.", "", [("book", {"days": 3, "code": "7"})], ended=True)


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        ("\n<think>I never stop", True),
        (CALL.removesuffix("</tool_call>"), False),
        (CALL.replace("call>book", "call>other"), False),
        ("</think>\nhello", False),
        ("", False),
    ],
)
def test_what_is_not_whole_is_not_well_formed(text: str, thinking: bool) -> None:  # noqa: FBT001
    assert not score.well_formed(parse(text, TOOLS, thinking=thinking))


def test_an_answer_that_was_cut_off_is_not_well_formed() -> None:
    assert score.well_formed(answer("hello"))
    assert not score.well_formed(answer("hello", ended=False))


@pytest.mark.parametrize(
    ("content", "number", "verdict"),
    [
        ("47 + 38 = 85", 85, True),
        ("3 - 5 = -2", -2, True),
        ("3 - 5 = -2", 2, False),
        ("85", 85, True),
        ("47 + 38 = 86", 85, False),
        ("no idea", 85, False),
    ],
)
def test_the_last_number_counts(content: str, number: int, verdict: bool) -> None:  # noqa: FBT001
    assert score.right_number(answer(content), number) is verdict


@pytest.mark.parametrize(
    ("given", "wanted", "verdict"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1}, True),
        ({"a": 1.0}, {"a": 1}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": ["x"]}, {"a": ["x"]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
    ],
)
def test_arguments_are_compared_with_their_types(
    given: dict[str, object],
    wanted: dict[str, object],
    verdict: bool,  # noqa: FBT001
) -> None:
    made = Answer("", "", [("book", given)], ended=True)
    assert score.right_calls(made, [("book", wanted)]) is verdict


def test_every_call_counts_and_no_other() -> None:
    one, other = ("book", {"days": 3}), ("book", {"days": 4})
    assert score.right_calls(Answer("", "", [one, other], ended=True), [one, other])
    assert not score.right_calls(Answer("", "", [one], ended=True), [one, other])
    assert not score.right_calls(Answer("", "", [one, other], ended=True), [one])
    assert not score.right_calls(Answer("", "", None, ended=True), [one])


def reply(arguments: str, finish_reason: str = "tool_calls") -> ChatReply:
    call = ToolCall("call_0", "book", arguments)
    return ChatReply("", "I use book.", (call,), finish_reason, None, Timings(1.0), "nano", "id")


def test_a_reply_is_read_with_its_calls() -> None:
    read = evaluate.read(reply('{"days": 3}'))
    assert read == Answer("I use book.", "", [("book", {"days": 3})], ended=True)
    assert evaluate.read(reply('{"days": ')).calls is None
    assert not evaluate.read(reply("{}", "length")).ended


def test_a_result_counts_and_divides() -> None:
    dialogue = Dialogue("sums", [user("1 + 1"), assistant("1 + 1 = 2")], thinking=False, number=2)
    result = evaluate.Result(
        before=evaluate.Counters(100, 10, 40), after=evaluate.Counters(160, 20, 60)
    )
    result.add(dialogue, answer("1 + 1 = 2"))
    result.add(dialogue, answer("1 + 1 = 3"))
    assert (result.answers, result.formed, result.wanted, result.right) == (2, 2, 2, 1)
    assert len(result.failures) == 1
    assert result.acceptance_length == pytest.approx(60 / 20)
    assert result.decode_acceptance_length == pytest.approx((60 - 10) / 20)


def test_without_counters_there_is_no_acceptance_length() -> None:
    assert evaluate.Result().acceptance_length is None

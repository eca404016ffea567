"""The machines in SGLang's own classes, asked as its server asks them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.engines.sglang.plugins.glm import plugin
from launcher.names import GLM_PARSERS_VARIABLE
from tests.unit.launcher.engines.sglang.glm.answers import random_answer, random_pieces

pytest.importorskip("sglang")

from sglang.srt.entrypoints.openai.protocol import Tool, ToolChoice
from sglang.srt.function_call.function_call_parser import FunctionCallParser
from sglang.srt.parser.reasoning_parser import ReasoningParser

from launcher.engines.sglang.plugins.glm.detectors import CallDetector, ReasoningDetector

THINKING = "\n<think>Hm.</think>\nHello."


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our parsers in SGLang's tables, for one test."""
    calls, reasoning = FunctionCallParser.ToolCallParserEnum, ReasoningParser.DetectorMap
    monkeypatch.setattr(FunctionCallParser, "ToolCallParserEnum", dict(calls))
    monkeypatch.setattr(ReasoningParser, "DetectorMap", dict(reasoning))
    plugin.register()


def tools(schemas: dict[str, Any]) -> list[Tool]:
    return [
        Tool(type="function", function={"name": name, "parameters": schema})
        for name, schema in schemas.items()
    ]


def whole(parser: FunctionCallParser, text: str) -> tuple[str, list[tuple[str, str]]]:
    if not parser.has_tool_call(text):
        return text, []
    content, calls = parser.parse_non_stream(text)
    return content, [(call.name, call.parameters) for call in calls]


def streamed(
    parser: FunctionCallParser, pieces: Sequence[str]
) -> tuple[str, list[tuple[str, str]]]:
    content, calls = "", dict[int, tuple[str, str]]()
    for given in (
        *(parser.parse_stream_chunk(piece) for piece in pieces),
        parser.parse_stream_end(),
    ):
        content += given[0]
        for call in given[1]:
            name, arguments = calls.get(call.tool_index, ("", ""))
            calls[call.tool_index] = (name + (call.name or ""), arguments + call.parameters)
    return content, [calls[place] for place in sorted(calls)]


@pytest.mark.parametrize("name", ["glm45", "glm"])
def test_random_answers_are_the_same_whole_and_streamed(name: str) -> None:
    source = random.Random(5)  # noqa: S311 - not for secrets
    for _ in range(300):
        text, schemas, content, calls = random_answer(source)
        offered = tools(schemas or {"none": {"type": "object"}})
        read = whole(FunctionCallParser(offered, name), text)
        assert read == (content, [(call.name, call.json) for call in calls])
        assert streamed(FunctionCallParser(offered, name), random_pieces(source, text)) == read


def test_the_server_finds_nothing_left_to_send_when_a_stream_ends() -> None:
    parser = FunctionCallParser(tools({"f": {}}), "glm45")
    streamed(parser, ["<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>"])
    detector = parser.detector
    assert detector.streamed_args_for_tool == ['{"a": "x"}']
    assert [call["arguments"] for call in detector.prev_tool_call_arr] == ['{"a": "x"}']


@pytest.mark.parametrize("choice", ["required", ToolChoice(function={"name": "f"})])
def test_a_forced_call_is_read_the_same_whole_and_streamed(choice: Any) -> None:
    offered = tools({"f": {"type": "object", "properties": {"a": {"type": "string"}}}, "g": {}})

    def new() -> FunctionCallParser:
        return FunctionCallParser(offered, "glm45", tool_choice=choice)

    assert new().owns_tool_format()
    for text in ('[{"name": "f", "parameters": {"a": "x"}}]', '[{"name": "f", "parameters": {"a'):
        read = whole(new(), text)
        assert read[1][0][0] == "f"
        assert streamed(new(), list(text)) == read


def test_the_grammar_of_a_forced_call_follows_the_choice() -> None:
    parser = FunctionCallParser(tools({"f": {}, "g": {}}), "glm45")
    kind, any_number = parser.get_structure_constraint("required")
    assert kind == "json_schema"
    assert "maxItems" not in any_number
    _, single = parser.get_structure_constraint("required", parallel_tool_calls=False)
    assert single["maxItems"] == 1
    _, named = parser.get_structure_constraint(ToolChoice(function={"name": "g"}))
    assert named["maxItems"] == 1
    assert named["items"]["properties"]["name"]["enum"] == ["g"]
    assert parser.get_structure_constraint("auto") is None


def test_reasoning_is_the_same_whole_and_streamed() -> None:
    assert ReasoningParser("glm45", force_reasoning=True).parse_non_stream(THINKING) == (
        "Hm.",
        "Hello.",
    )
    for stream_reasoning in (True, False):
        parser = ReasoningParser("glm45", stream_reasoning, force_reasoning=True)
        parts = [parser.parse_stream_chunk(each) for each in THINKING] + [parser.parse_stream_end()]
        assert ("".join(part for part, _ in parts), "".join(part for _, part in parts)) == (
            "Hm.",
            "Hello.",
        )


def test_reasoning_that_must_not_leave_the_content_empty_becomes_it() -> None:
    for pieces in (["\n<think>Hm."], list("\n<think>Hm.")):
        detector = ReasoningDetector(force_reasoning=True, force_nonempty_content=True)
        for piece in pieces:
            detector.parse_streaming_increment(piece)
        assert detector.finish().normal_text == "Hm."
    assert (
        ReasoningDetector(force_reasoning=True, force_nonempty_content=True)
        .detect_and_parse("\n<think>Hm.")
        .normal_text
        == "Hm."
    )


@pytest.mark.parametrize(
    ("begun", "text", "reasoning", "content"),
    [
        ("The answer", "\nis 42.", "", "\nis 42."),
        ("<think>Hm", "m.</think>\nYes.", "m.", "\nYes."),
        ("<think>Hm.</think>\nYes", "\nand no.", "", "\nand no."),
    ],
)
def test_an_answer_that_goes_on_with_the_prompts(
    begun: str, text: str, reasoning: str, content: str
) -> None:
    detector = ReasoningDetector(
        force_reasoning=True, continue_final_message=True, previous_content=begun
    )
    result = detector.detect_and_parse(text)
    assert (result.reasoning_text, result.normal_text) == (reasoning, content)


class Tokenizer:
    """Two tags, and each other character is a token."""

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [{"<think>": 1, "</think>": 2}[token] for token in tokens]

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(character) for character in text]


def test_the_line_break_of_an_answer_without_thinking_stands_in_the_prompt() -> None:
    serving = SimpleNamespace(tokenizer_manager=SimpleNamespace(tokenizer=Tokenizer()))
    assert plugin.begin_answer(([7, 1, 2], None), serving) == ([7, 1, 2, 10], None)
    assert plugin.begin_answer(([7, 1, 2], "a"), serving) == ([7, 1, 2, 10], "a\n")
    assert plugin.begin_answer(([7, 1], None), serving) == ([7, 1], None)


def test_nothing_is_registered_unless_the_launcher_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GLM_PARSERS_VARIABLE, raising=False)
    monkeypatch.setattr(plugin, "register", lambda: pytest.fail("registered"))
    plugin.activate()


def test_a_server_without_our_parsers_does_not_start_as_if_it_had_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(GLM_PARSERS_VARIABLE, "1")
    monkeypatch.setattr(FunctionCallParser, "ToolCallParserEnum", {})
    with pytest.raises(SystemExit, match="--glm-parsers sglang"):
        plugin.activate()


def test_the_classes_are_those_that_sglang_knows() -> None:
    assert FunctionCallParser.ToolCallParserEnum["glm45"] is CallDetector
    assert isinstance(ReasoningParser("glm45").detector, ReasoningDetector)

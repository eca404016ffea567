"""The chat template: GLM-4.5's format, one golden rendering for each of its features.

Source of the format: zai-org/GLM-4.5's chat template, and what SGLang's
detector for it parses (srt/function_call/glm4_moe_detector.py).
"""

import json
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.nano.folder import model_path
from tests.unit.nano.conftest import Render
from tools.nano.text import tokens

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Wetter für einen Ort",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "detail": {"type": "object"},
            },
        },
    },
}

START = "[gMASK]<sop>"


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def tool(content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call_0", "content": content}


def assistant(
    content: str | None = None, *calls: tuple[str, dict[str, Any]], reasoning: str | None = None
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [
            {"id": "call_0", "type": "function", "function": {"name": name, "arguments": given_}}
            for name, given_ in calls
        ]
    return message


def test_plain(render: Render) -> None:
    assert render(user("Hi")) == f"{START}<|user|>\nHi"


def test_system_message(render: Render) -> None:
    assert render(system("Be brief."), user("Hi")) == f"{START}<|system|>\nBe brief.<|user|>\nHi"


def test_generation_prompt_leaves_thinking_to_the_model(render: Render) -> None:
    expected = f"{START}<|user|>\nHi<|assistant|>"
    assert render(user("Hi"), add_generation_prompt=True) == expected
    assert render(user("Hi"), add_generation_prompt=True, enable_thinking=True) == expected


def test_thinking_off_says_so_twice(render: Render) -> None:
    rendered = render(user("Hi"), add_generation_prompt=True, enable_thinking=False)
    assert rendered == f"{START}<|user|>\nHi/nothink<|assistant|>\n<think></think>"


def test_nothink_is_not_doubled(render: Render) -> None:
    assert render(user("Hi/nothink"), enable_thinking=False) == f"{START}<|user|>\nHi/nothink"


def test_list_of_parts(render: Render) -> None:
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": " there"}]
    assert render(user(parts)) == f"{START}<|user|>\nHi there"


def listed(*tools: dict[str, Any], render: Render) -> str:
    """What stands between the marks of the list of tools."""
    rendered = render(user("Hi"), tools=[{"type": "function", "function": one} for one in tools])
    return rendered.partition("<tools>\n")[2].partition("</tools>")[0]


def test_tools_come_before_the_system_message(render: Render) -> None:
    other = {"type": "function", "function": {"name": "time", "parameters": {}}}
    rendered = render(system("Be brief."), user("Hi"), tools=[WEATHER, other])
    assert rendered == (
        f"{START}<|system|>\n<tools>\n<tool_call>weather\nWetter für einen Ort"
        "\n<arg_key>city</arg_key> string?\n<arg_key>days</arg_key> integer?"
        "\n<arg_key>detail</arg_key> object?\n<tool_call>time\n</tools>"
        "<|system|>\nBe brief.<|user|>\nHi"
    )


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string", "description": "A\n  city."}, "string: A city."),
        ({"enum": ["c", "f", None]}, "c | f"),
        ({"type": "integer", "enum": [1, 2]}, "1 | 2"),
        ({"const": "x"}, "x"),
        ({"type": ["integer", "null"]}, "integer?"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer?"),
        ({"type": "integer", "nullable": True}, "integer?"),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "integer or string"),
        ({"type": "array", "items": {"type": "number"}}, "array of number"),
        ({"type": "array"}, "array"),
        ({"$ref": "#/$defs/Unit"}, "k | m"),
        ({"$ref": "#/$defs/Nowhere"}, "any"),
        ({"$ref": "#/$defs/Itself"}, "any"),
        ({}, "any"),
        (True, "any"),
        (
            {"properties": {"b": {"type": "string"}, "c": {}}, "required": ["b"]},
            'object\n  "b" string\n  "c" any?',
        ),
        (
            {"type": "array", "items": {"properties": {"b": {"type": "string"}}}},
            'array of object\n  "b" string?',
        ),
    ],
)
def test_a_parameter_is_one_line_whatever_its_schema(
    render: Render, schema: Any, shown: str
) -> None:
    definitions = {"Unit": {"enum": ["k", "m"]}, "Itself": {"$ref": "#/$defs/Itself"}}
    parameters = {"properties": {"a": schema}, "required": ["a"], "$defs": definitions}
    found = listed({"name": "f", "parameters": parameters}, render=render)
    assert found == f"<tool_call>f\n<arg_key>a</arg_key> {shown}\n"


def test_schemas_of_any_library_are_shown_alike(render: Render) -> None:
    """The order of keys and what else stands in them says nothing to a model this small."""
    plain = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    zod = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "additionalProperties": False,
        "required": ["a"],
        "properties": {"a": {"minLength": 1, "title": "A", "type": "string"}},
        "type": "object",
    }
    assert listed({"name": "f", "parameters": plain}, render=render) == listed(
        {"parameters": zod, "strict": True, "description": None, "name": "f"}, render=render
    )


def test_several_calls_in_one_turn(render: Render) -> None:
    rendered = render(
        user("Hi"),
        assistant(
            "Let me look.",
            ("weather", {"city": "Köln", "days": 3, "detail": {"wind": True}}),
            ("time", {}),
            reasoning="Two tools.",
        ),
    )
    assert rendered == (
        f"{START}<|user|>\nHi<|assistant|>\n<think>Two tools.</think>\nLet me look."
        "\n<tool_call>weather"
        "\n<arg_key>city</arg_key>\n<arg_value>Köln</arg_value>"
        "\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>"
        '\n<arg_key>detail</arg_key>\n<arg_value>{"wind": true}</arg_value>'
        "\n</tool_call>"
        "\n<tool_call>time\n</tool_call>"
    )


def test_a_run_of_results_has_one_role_mark(render: Render) -> None:
    rendered = render(
        user("Hi"),
        assistant(None, ("time", {}), ("time", {})),
        tool("noon"),
        tool([{"type": "text", "text": "one"}]),
        add_generation_prompt=True,
    )
    assert rendered == (
        f"{START}<|user|>\nHi<|assistant|>\n<think></think>"
        "\n<tool_call>time\n</tool_call>\n<tool_call>time\n</tool_call>"
        "<|observation|>\n<tool_response>\nnoon\n</tool_response>"
        "\n<tool_response>\none\n</tool_response><|assistant|>"
    )


def test_results_of_another_turn_have_their_own_role_mark(render: Render) -> None:
    rendered = render(
        user("Hi"),
        assistant(None, ("time", {})),
        tool("noon"),
        assistant(None, ("time", {})),
        tool("one"),
    )
    assert rendered.count("<|observation|>") == 2


def test_reasoning_before_the_last_user_turn_is_dropped(render: Render) -> None:
    rendered = render(
        user("A"),
        assistant("B", reasoning="old"),
        user("C"),
        assistant("D", ("time", {}), reasoning=" new\n"),
        tool("noon"),
    )
    assert rendered == (
        f"{START}<|user|>\nA<|assistant|>\n<think></think>\nB"
        "<|user|>\nC<|assistant|>\n<think>new</think>\nD\n<tool_call>time\n</tool_call>"
        "<|observation|>\n<tool_response>\nnoon\n</tool_response>"
    )


@pytest.mark.parametrize(("turns_after", "reasoning"), [(0, "why"), (1, "")])
def test_reasoning_inside_the_text_is_the_same(
    render: Render, turns_after: int, reasoning: str
) -> None:
    answer = assistant("\n<think>why</think>\nB")
    rendered = render(user("A"), answer, *[user("C")] * turns_after)
    assert f"<|assistant|>\n<think>{reasoning}</think>\nB" in rendered


def test_rendering_tokenizes_to_single_ids_for_marks(
    render: Render,
    tokenizer: Any,
) -> None:
    ids = tokenizer.encode(render(user("7"), add_generation_prompt=True, enable_thinking=False))
    marks = ("[gMASK]", "<sop>", "<|user|>", "\n", "7", "/nothink", "<|assistant|>", "\n",
             "<think>", "</think>")  # fmt: skip
    assert ids == [tokens.IDS[mark] if mark in tokens.IDS else ord(mark) for mark in marks]


# The detector reads a text that is JSON as JSON and writes it back as Python does,
# even where the tool's schema says string ("false" becomes "False", sglang 0.5.23),
# and strips white space around a value. Texts without either come back.
WORDS = (
    st.text("abcdefghijklmnopqrstuvwxyzäöü世界 ", min_size=1)
    .map(str.strip)
    .filter(lambda text: text not in ("", "true", "false", "null"))
)


@pytest.fixture(scope="module")
def sglang_parser() -> Any:
    """SGLang's own detector for `--tool-call-parser glm45`, told of the weather tool."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on a machine without a GPU, SGLang warns of that
        from sglang.srt.entrypoints.openai.protocol import Tool  # noqa: PLC0415
        from sglang.srt.function_call.glm4_moe_detector import Glm4MoeDetector  # noqa: PLC0415

    tools = [Tool.model_validate(WEATHER)]
    return lambda text: Glm4MoeDetector().detect_and_parse(text, tools)


def test_sglang_parses_a_rendered_call_to_the_same_arguments(
    render: Render,
    sglang_parser: Any,
) -> None:
    arguments = st.fixed_dictionaries(
        {},
        optional={
            "city": WORDS,
            "days": st.integers(-1000, 1000),
            "detail": st.dictionaries(WORDS, st.one_of(st.booleans(), st.integers(), WORDS)),
        },
    )

    @given(st.lists(arguments, min_size=1, max_size=3))
    def parses_back(calls: list[dict[str, Any]]) -> None:
        turn = assistant("Let me look.", *(("weather", each) for each in calls))
        written = render(user("Hi"), turn).split("</think>")[1]
        parsed = sglang_parser(written)
        assert parsed.normal_text == "Let me look."
        assert [call.name for call in parsed.calls] == ["weather"] * len(calls)
        assert [json.loads(call.parameters) for call in parsed.calls] == calls

    parses_back()


def test_sglang_recognises_the_family(tokenizer: Any) -> None:
    """So `--tool-call-parser auto` and `--reasoning-parser auto` find GLM-4.5's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sglang.srt.parser import template_detection  # noqa: PLC0415

    template = (model_path() / "chat_template.jinja").read_text(encoding="utf-8")
    always, reasoning = template_detection.detect_reasoning_pattern(template)
    assert not always
    found = (
        template_detection.detect_reasoning_parser(template, tokenizer, reasoning),
        template_detection.detect_tool_call_parser(template, tokenizer, reasoning),
    )
    assert found == ("glm45", "glm45")

"""The grammar of calls in GLM-4.5's own format, as xgrammar reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import xgrammar
from transformers import PreTrainedTokenizerFast

from launcher.engines.sglang.plugins.glm.grammar import calls_tag
from launcher.nano.folder import model_path
from tools.nano.tasks.words import Words
from tools.nano.training.data import render
from tools.nano.world import trees

Takes = Callable[[str], bool]


@pytest.fixture(scope="module")
def compiler() -> xgrammar.GrammarCompiler:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(model_path() / "tokenizer.json"))
    stops = [tokenizer.convert_tokens_to_ids("<|user|>")]
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, stop_token_ids=stops)
    return xgrammar.GrammarCompiler(info, max_threads=1)


def reader(compiler: xgrammar.GrammarCompiler, tag: dict[str, Any]) -> Takes:
    """Says whether a grammar takes a text, whole or as a beginning."""
    compiled = compiler.compile_structural_tag(json.dumps(tag))
    return lambda text: bool(xgrammar.GrammarMatcher(compiled).accept_string(text))


def call(name: str, **arguments: str) -> str:
    written = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"
        for key, value in arguments.items()
    )
    return f"<tool_call>{name}\n{written}</tool_call>"


TOOLS = [
    (
        "getWeather",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "pattern": "^(?!x)"},
                "days": {"type": "integer", "minimum": 1},
                "unit": {"enum": ["c", "f"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "more": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "place": {"$ref": "#/$defs/Place"},
            },
            "required": ["city"],
            "$defs": {
                "Place": {
                    "type": "object",
                    "properties": {"k": {"type": "string"}, "in": {"$ref": "#/$defs/Place"}},
                    "required": ["k"],
                }
            },
        },
    ),
    ("now", {}),
    ("any.thing", None),
]


@pytest.mark.parametrize(
    "text",
    [
        "Just words, with <b> and </arg_value>.",
        call("getWeather", city="Paris\nis </b> far"),
        call("getWeather", city=""),
        "Let me look.\n" + call("getWeather", city="P", days="3", unit="f") + "\n" + call("now"),
        call("getWeather", city="P", tags='["a", "b"]', more="null"),
        call("getWeather", city="P", place='{"k": "v", "in": {"k": "w"}}'),
        call("any.thing", whatever="goes"),
    ],
)
def test_a_right_answer_is_taken(compiler: xgrammar.GrammarCompiler, text: str) -> None:
    assert reader(compiler, calls_tag(TOOLS))(text)


@pytest.mark.parametrize(
    "text",
    [
        call("get_weather", city="P"),
        call("getWeather", town="P"),
        call("getWeather"),
        call("getWeather", days="3", city="P"),
        call("getWeather", city="P", days="three"),
        call("getWeather", city="P", unit="k"),
        call("getWeather", city="P", tags='["a"'),
        call("now", city="P"),
        call("getWeather", city="P").replace("</tool_call>", "<arg_key>city</arg_key>"),
    ],
)
def test_a_wrong_call_is_not(compiler: xgrammar.GrammarCompiler, text: str) -> None:
    assert not reader(compiler, calls_tag(TOOLS))(text)


def test_what_may_be_null_may_be_left_out(compiler: xgrammar.GrammarCompiler) -> None:
    schema = {"properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}
    assert reader(compiler, calls_tag([("f", schema)]))(call("f"))


def test_a_forced_call_comes_first(compiler: xgrammar.GrammarCompiler) -> None:
    takes = reader(compiler, calls_tag(TOOLS, at_least_one=True, only_one=True))
    assert takes("\n" + call("now"))
    assert takes(call("now"))
    assert not takes("Well")
    assert not takes(call("now") + "\n" + call("now"))


@pytest.mark.parametrize(
    "schema",
    [
        True,
        [],
        {"type": "object", "additionalProperties": True},
        {"properties": {"a": True, "b": False, "c": {"not": {}}}},
        {"properties": {"a": {"$ref": "#/$defs/Nowhere"}, "b": {"$ref": "https://x/y"}}},
        {"properties": {"a": {"type": "array", "items": {"$ref": "#"}}}},
        {"properties": {"a": {"type": ["integer", "null"]}, "b": {"enum": [1, None, "x"]}}},
        {"properties": {"a": {"type": "object", "patternProperties": {"(": {}}}}},
        {"properties": {"a": {"type": "number", "multipleOf": 0.1, "minimum": "x"}}},
        {"properties": {"a<b>\n\"'": {"type": "integer"}}, "required": "a"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"x": {"type": "integer"}}}}},
    ],
)
def test_any_schema_makes_a_grammar(compiler: xgrammar.GrammarCompiler, schema: Any) -> None:
    assert reader(compiler, calls_tag([("f", schema)]))("<tool_call>f\n")


def test_what_the_chat_template_writes_is_taken(compiler: xgrammar.GrammarCompiler) -> None:
    """Calls of made-up tools, written in every style of schema, in the template's own words."""
    words = Words("grammar")
    checked = 0
    while checked < 60:
        kind = words.pick(("one call", "two calls"))
        made = trees.dialogue(words, thinking=False, kind=kind)
        if any(isinstance(value, dict) for _, given in made.calls for value in given.values()):
            continue  # the order of an object's keys is drawn apart from its schema
        tools = [(one["function"]["name"], one["function"].get("parameters")) for one in made.tools]
        written = render(made.messages, made.tools, thinking=False).rpartition("</think>")[2]
        assert reader(compiler, calls_tag([(n, s or {}) for n, s in tools]))(written), written
        checked += 1

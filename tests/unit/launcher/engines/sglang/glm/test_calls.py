"""Calls, read whole and in pieces; what cannot be read is never lost."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.engines.sglang.plugins.glm.calls import CallParser
from tests.unit.launcher.engines.sglang.glm.answers import (
    Call,
    random_answer,
    random_pieces,
    read,
)

CITY = {
    "f": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
}
TAGS = ("<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")


def pair(key: str, value: str) -> str:
    return f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"


@pytest.mark.parametrize("block", range(20))
def test_twenty_thousand_random_calls_are_read_exactly_however_they_come(block: int) -> None:
    source = random.Random(block)  # noqa: S311 - not for secrets
    seen = 0
    while seen < 1000:
        text, schemas, content, calls = random_answer(source)
        whole = read(CallParser(schemas), [text])
        assert whole.content == content, text
        assert [(name, arguments) for name, arguments, _ in whole.calls] == [
            (call.name, call.json) for call in calls
        ], text
        assert all(ended for _, _, ended in whole.calls)
        pieces = random_pieces(source, text)
        assert read(CallParser(schemas), pieces) == whole, pieces
        seen += len(calls)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from((*TAGS, "f", "\n", "\\n", "city", "n", "5", " ")), st.text(max_size=5)
        )
    ),
    st.randoms(use_true_random=False),
)
def test_any_text_is_read_the_same_however_it_comes(
    parts: list[str], source: random.Random
) -> None:
    text = "".join(parts)
    whole = read(CallParser(CITY), [text])
    assert read(CallParser(CITY), random_pieces(source, text)) == whole
    for _, arguments, ended in whole.calls:
        if ended:
            assert isinstance(json.loads(arguments), dict)


def test_a_key_whose_end_is_misspelt_is_read_the_same_however_it_comes() -> None:
    text = f"<tool_call>f\n<arg_key>city</qrg_key>\n<arg_value>Rome</arg_value>\n{pair('n', '3')}"
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    assert read(CallParser(CITY), [text]) == read(CallParser(CITY), pieces)


@settings(max_examples=300, deadline=None)
@given(st.text(), st.text())
def test_any_text_comes_back_exactly_as_an_argument(city: str, other: str) -> None:
    # No text that the format cannot hold.
    city, other = (each.replace("</arg_value>", "").replace("\r", "") for each in (city, other))
    text = Call("f", (("city", city, ""), ("city2", "x" + other.strip(), ""))).text
    (_, arguments, ended), *_ = read(CallParser(CITY), [text]).calls
    assert ended
    assert json.loads(arguments)["city"] == city


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters="<")))
def test_text_without_calls_is_content_unchanged(text: str) -> None:
    assert read(CallParser(CITY), list(text)).content == text


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        pytest.param("<tool_call>f\n</tool_call>", "", [("f", "{}")], id="no arguments"),
        pytest.param("<tool_call>f</tool_call>", "", [("f", "{}")], id="offered, on one line"),
        pytest.param(
            "<tool_call>unknown\n" + pair("a", "x") + "</tool_call>",
            "",
            [("unknown", '{"a": "x"}')],
            id="a tool that was not offered",
        ),
        pytest.param("The <tool_call> tag.", "The <tool_call> tag.", [], id="a word about it"),
        pytest.param(
            "<tool_call>and</tool_call>",
            "<tool_call>and</tool_call>",
            [],
            id="no tool, on one line",
        ),
        pytest.param(
            "<tool_call>f\n<arg_key>city</arg_value>\n</tool_call>",
            "<tool_call>f\n<arg_key>city</arg_value>\n</tool_call>",
            [],
            id="no pair in it",
        ),
        pytest.param(
            "<tool_call>f\n<arg_value>x</arg_value>\n<arg_key>city</arg_key>\n</tool_call>",
            "<tool_call>f\n<arg_value>x</arg_value>\n<arg_key>city</arg_key>\n</tool_call>",
            [],
            id="the value before its key",
        ),
        pytest.param(
            "<tool_call>f\n" + pair("city", "x") + "<arg_key>n</arg_value>\n</tool_call>",
            "<arg_key>n</arg_value>",
            [("f", '{"city": "x"}')],
            id="a broken pair behind a good one",
        ),
        pytest.param(
            "<tool_call>f\n" + pair("city", "a</arg_value>b") + "</tool_call>",
            "",
            [("f", '{"city": "a</arg_value>b"}')],
            id="text that holds a closing tag",
        ),
        pytest.param(
            "<tool_call>f\n"
            + pair("city", "x")
            + "<tool_call>f\n"
            + pair("n", "1")
            + "</tool_call>",
            "",
            [("f", '{"city": "x"}'), ("f", '{"n": 1}')],
            id="a closing tag forgotten",
        ),
        pytest.param(
            "<tool_call>f\\n<arg_key>n</arg_key>\\n<arg_value>1</arg_value>\\n</tool_call>",
            "",
            [("f", '{"n": 1}')],
            id="line breaks as two characters",
        ),
        pytest.param(
            '<tool_call>f\n{"city": "x", "n": 1e5}\n</tool_call>',
            "",
            [("f", '{"city": "x", "n": 1e5}')],
            id="arguments as JSON",
        ),
        pytest.param(
            '<tool_call>{"name": "f", "arguments": {"city": "x"}}</tool_call>',
            "",
            [("f", '{"city": "x"}')],
            id="all of it as JSON",
        ),
        pytest.param(
            "One.\n<tool_call>f\n</tool_call>\nTwo.\n<tool_call>f\n</tool_call>\nThree.",
            "One.\nTwo.\nThree.",
            [("f", "{}"), ("f", "{}")],
            id="text around calls",
        ),
    ],
)
def test_what_a_model_may_write(text: str, content: str, calls: list[tuple[str, str]]) -> None:
    for pieces in ([text], list(text)):
        result = read(CallParser(CITY), pieces)
        assert result.content == content
        assert [(name, arguments) for name, arguments, _ in result.calls] == calls
        assert all(ended for _, _, ended in result.calls)


def test_a_call_that_was_cut_off_shows_what_there_was_and_does_not_end() -> None:
    text = "<tool_call>f\n" + pair("n", "1") + pair("city", "Par")[: -len("</arg_value>\n")]
    for pieces in ([text], list(text)):
        assert read(CallParser(CITY), pieces).calls == (("f", '{"n": 1, "city": "Par', False),)


def test_a_call_cut_off_before_its_first_value_is_content() -> None:
    text = "Wait.\n<tool_call>f\n<arg_key>city</arg_key>"
    for pieces in ([text], list(text)):
        assert read(CallParser(CITY), pieces).content == text
        assert read(CallParser(CITY), pieces).calls == ()


def test_long_text_goes_out_as_it_comes() -> None:
    parser = CallParser(CITY)
    parser.feed("<tool_call>f\n<arg_key>city</arg_key>\n<arg_value>")
    assert [event.text for event in parser.feed("Par")][-1] == "Par"  # type: ignore[union-attr]
    assert [event.text for event in parser.feed("is")] == ["is"]  # type: ignore[union-attr]


def test_text_that_may_be_null_goes_out_once_it_cannot_be() -> None:
    schema = {"f": {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}}
    parser = CallParser(schema)
    parser.feed("<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>")
    assert parser.feed("nul") == []
    assert "".join(event.text for event in parser.feed("ify")) == '"nulify'  # type: ignore[union-attr]


def test_reading_grows_with_the_text_and_not_with_its_square() -> None:
    # Each of these made a first version look at all that had come again with each piece.
    for text in (
        "\n" * 40_000,
        "<tool_call>f\n<arg_key>city</arg_key>\n<arg_value>a</arg_value>" + "b" * 40_000,
        "<tool_call>f\n<arg_key>n</arg_key>\n<arg_value>" + "1" * 40_000,
        '<tool_call>f\n{"a": "' + "b" * 40_000,
    ):
        looked = _characters_looked_at(text)
        assert looked < 40 * len(text), text[:60]


def _characters_looked_at(text: str) -> int:
    """How much a machine searches, by a text that counts."""
    counted = 0

    class Counting(CallParser):
        def feed(self, text: str) -> list[object]:  # type: ignore[override]
            nonlocal counted
            counted += len(self._text) - max(self._seen, self._marked) + len(text)
            return super().feed(text)  # type: ignore[return-value]

    parser = Counting(CITY)
    for character in text:
        parser.feed(character)
    return counted

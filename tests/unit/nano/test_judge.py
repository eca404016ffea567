"""What an answer to a written request is worth, and the requests themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tools.nano.worth import unseen
from tools.nano.worth.judge import right
from tools.nano.worth.score import Answer

CALL: Final[dict[str, Any]] = {"name": "book", "arguments": {"where": "Nobu", "people": 2}}


def called(*calls: tuple[str, dict[str, Any]], ended: bool = True) -> Answer:
    return Answer("", "", list(calls), ended)


def said(text: str) -> Answer:
    return Answer("", text, [], ended=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"where": "Nobu", "people": 2}, True),
        ({"where": "Nobu", "people": 2.0}, True),
        ({"where": "nobu", "people": 2}, False),
        ({"where": "Nobu", "people": "2"}, False),
        ({"where": "Nobu", "people": True}, False),
        ({"where": "Nobu"}, False),
        ({"where": "Nobu", "people": 2, "at": "7"}, False),
    ],
)
def test_arguments_are_right_with_value_and_type(
    arguments: dict[str, Any], *, expected: bool
) -> None:
    assert right({"calls": [CALL]}, called(("book", arguments))) is expected


@pytest.mark.parametrize(
    ("want", "given", "expected"),
    [
        ({"one_of": ["C", "celsius"]}, {"x": "celsius"}, True),
        ({"one_of": ["C", "celsius"]}, {"x": "F"}, False),
        ({"one_of": ["C", "celsius"]}, {}, False),
        ({"optional": 3}, {}, True),
        ({"optional": 3}, {"x": 4}, False),
        ({"optional_one_of": [None, 3]}, {"x": None}, True),
        ({"a": {"one_of": [1, 2]}, "b": "c"}, {"x": {"a": 2, "b": "c"}}, True),
        ({"a": 1}, {"x": {"a": 1, "b": 2}}, False),
        ([1, 2], {"x": [1, 2]}, True),
        ([1, 2], {"x": [2, 1]}, False),
        (1, {"x": True}, False),
    ],
)
def test_alternatives_options_and_inner_values(
    want: Any, given: dict[str, Any], *, expected: bool
) -> None:
    calls = {"calls": [{"name": "f", "arguments": {"x": want}}]}
    assert right(calls, called(("f", given))) is expected


def test_calls_count_in_any_order_and_none_beside() -> None:
    want = {"calls": [CALL, {"name": "pay", "arguments": {"any": True}}]}
    book, pay = ("book", CALL["arguments"]), ("pay", {"amount": 3})
    assert right(want, called(pay, book))
    assert not right(want, called(book))
    assert not right(want, called(book, pay, pay))
    assert not right(want, called(book, book))
    assert not right(want, called(book, pay, ended=False))
    assert not right(want, said("I have booked it."))


def test_a_text_is_words_and_says_what_it_has_to() -> None:
    want = {"text": {"contains": ["Paris"], "contains_one_of": ["21", "twenty-one"]}}
    assert right(want, said("In PARIS it is Twenty-One degrees."))
    assert not right(want, said("In Paris it is warm."))
    assert not right(want, said("It is 21."))
    assert not right({"text": {}}, said(json.dumps({"a": 1})))
    assert not right({"text": {}}, said(""))
    assert not right({"text": {}}, said("<tool_call>x"))
    assert not right({"text": {}}, said("well " * 300))
    assert not right({"text": {}}, called(("book", {})))


def test_an_object_has_its_keys() -> None:
    assert right({"json": {"keys": ["a"]}}, said(json.dumps({"a": 1, "b": 2})))
    assert right({"json": {}}, said("{}"))
    for text in ("[1]", "a: 1", "{", json.dumps({"b": 2})):
        assert not right({"json": {"keys": ["a"]}}, said(text))


def files() -> list[Path]:
    return sorted(unseen.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_what_a_request_wants_is_among_its_tools(path: Path) -> None:
    cases = json.loads(path.read_text(encoding="utf-8"))
    assert len({case["id"] for case in cases}) == len(cases)
    for case in cases:
        assert case["want"].keys() <= {"calls", "text", "json"}, case["id"]
        shown = {tool["function"]["name"]: tool["function"] for tool in case["tools"] or []}
        for call in case["want"].get("calls", ()):
            parameters = shown[call["name"]].get("parameters") or {}
            names = set(call["arguments"]) - {"any"}
            assert names <= set(parameters.get("properties", {})), case["id"]


def test_enough_of_them_were_never_looked_at() -> None:
    cases = json.loads((unseen.FOLDER / "held_out.json").read_text(encoding="utf-8"))
    assert len(cases) >= 200
    assert len({case["kind"] for case in cases}) >= 12

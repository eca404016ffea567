"""Calls that a grammar holds to JSON."""

from __future__ import annotations

import json
import random

import pytest

from launcher.engines.sglang.plugins.glm.forced import ForcedCallParser, array_schema
from tests.unit.launcher.engines.sglang.glm.answers import random_answer, random_pieces, read


def test_random_arrays_of_calls_are_read_exactly_however_they_come() -> None:
    source = random.Random(17)  # noqa: S311 - not for secrets
    for _ in range(2000):
        _, schemas, _, calls = random_answer(source)
        separators = source.choice(((",", ":"), (", ", ": ")))
        text = json.dumps(
            [{"name": call.name, "parameters": json.loads(call.json)} for call in calls],
            ensure_ascii=False,
            separators=separators,
            indent=source.choice((None, None, 1)),
        )
        whole = read(ForcedCallParser(schemas), [text])
        assert [(name, json.loads(arguments), ended) for name, arguments, ended in whole.calls] == [
            (call.name, json.loads(call.json), True) for call in calls
        ]
        assert whole.content == ""
        assert read(ForcedCallParser(schemas), random_pieces(source, text)) == whole


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ('[{"name": "f", "parameters": {"a": "b', "", (("f", '{"a": "b', False),)),
        ('[{"name": "f"', '[{"name": "f"', ()),
        ("I cannot.", "I cannot.", ()),
        ("<tool_call>f\n</tool_call>", "", (("f", "{}", True),)),
        ('[{"name": "f", "parameters": {"a": "}\\""}}]', "", (("f", '{"a": "}\\""}', True),)),
        ('{"name": "f", "parameters": {}}', "", (("f", "{}", True),)),
        ("[]", "[]", ()),
    ],
)
def test_what_may_come(text: str, content: str, calls: tuple[tuple[str, str, bool], ...]) -> None:
    for pieces in ([text], list(text)):
        result = read(ForcedCallParser({"f": {}}), pieces)
        assert (result.content, result.calls) == (content, calls)


def test_the_grammar_keeps_what_a_schema_points_to() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    tree = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    grammar = array_schema([("f", tree), ("g", None)], most_calls=1)
    xgrammar = pytest.importorskip("xgrammar")
    compiled = xgrammar.Grammar.from_json_schema(json.dumps(grammar), any_whitespace=False)
    accepts = xgrammar.testing._is_grammar_accept_string
    assert accepts(compiled, '[{"name": "f", "parameters": {"next": {"next": null}}}]')
    assert accepts(compiled, '[{"name": "g", "parameters": {}}]')
    assert not accepts(compiled, '[{"name": "f", "parameters": {"next": 1}}]')
    assert not accepts(
        compiled, '[{"name": "g", "parameters": {}}, {"name": "g", "parameters": {}}]'
    )

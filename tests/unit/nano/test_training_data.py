"""The training data: rendered as the server renders it, parsed as it parses, held-out apart."""

from __future__ import annotations

import copy
import json
import warnings
from typing import Any, Final

import pytest
from tokenizers import Tokenizer

from tools.nano.tasks import sums
from tools.nano.tasks.words import NOUNS, Words
from tools.nano.text.dialogue import Dialogue, assistant, user
from tools.nano.text.tokens import END_OF_TURN
from tools.nano.training import data
from tools.nano.training.batches import batches, samples
from tools.nano.worth import held_out
from tools.nano.worth.parse import parse
from tools.nano.worth.score import right_calls, right_number, well_formed

COUNT: Final = 40


def dialogues(kind: str, *, evaluation: bool = False) -> list[Dialogue]:
    words = Words(f"test/{kind}", evaluation=evaluation)
    return [data.MAKERS[kind](words, thinking=number % 2 == 0) for number in range(COUNT)]


def as_the_server_reads_them(tools: list[dict[str, Any]]) -> list[Any]:
    """SGLang's own objects of tools, whose dumps it hands to the chat template.

    Source: sglang 0.5.23, srt/entrypoints/openai/serving_chat.py.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sglang.srt.entrypoints.openai.protocol import Tool  # noqa: PLC0415
    return [Tool.model_validate(tool) for tool in tools]


@pytest.mark.parametrize("kind", data.MAKERS)
def test_it_is_rendered_as_the_server_renders_it(kind: str, tokenizer: Any) -> None:
    for one in dialogues(kind):
        expected = tokenizer.apply_chat_template(
            one.messages[:-1],
            tools=[tool.model_dump() for tool in as_the_server_reads_them(one.tools)] or None,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=one.thinking,
        )
        assert data.prompt_of(one) == expected


@pytest.mark.parametrize("kind", data.MAKERS)
def test_what_is_learnt_is_the_answer_behind_the_prompt(
    kind: str, plain_tokenizer: Tokenizer
) -> None:
    for one in dialogues(kind):
        made = data.sample(one, plain_tokenizer)
        prompt = plain_tokenizer.encode(data.prompt_of(one)).ids
        assert made.ids[: len(prompt)] == prompt
        assert all(weight > 0 for weight in made.weights[len(prompt) :])
        assert made.ids[-1] in END_OF_TURN


@pytest.mark.parametrize("kind", data.MAKERS)
def test_its_answers_are_well_formed_and_right(kind: str, plain_tokenizer: Tokenizer) -> None:
    for one in dialogues(kind, evaluation=True):
        made = data.sample(one, plain_tokenizer)
        prompt = len(plain_tokenizer.encode(data.prompt_of(one)).ids)
        written = plain_tokenizer.decode(made.ids[prompt:-1], skip_special_tokens=False)
        answer = parse(written, one.tools, thinking=one.thinking)
        assert well_formed(answer)
        assert bool(answer.reasoning) == one.thinking
        if one.number is not None:
            assert right_number(answer, one.number)
        if one.messages[-1].get("tool_calls"):
            assert right_calls(answer, one.calls)


@pytest.mark.parametrize("kind", ["tool", "two calls", "tool turns", "one call", "calls"])
def test_its_calls_are_what_the_servers_detector_reads(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sglang.srt.function_call.glm4_moe_detector import (  # noqa: PLC0415
            Glm4MoeDetector,
        )
    for one in dialogues(kind):
        whole = data.render(one.messages, one.tools, thinking=one.thinking)
        text = whole[len(data.prompt_of(one)) :]
        tools = as_the_server_reads_them(one.tools)
        found = Glm4MoeDetector().detect_and_parse(text, tools).calls
        assert [(call.name, json.loads(call.parameters)) for call in found] == one.calls


def test_the_reasoning_before_calls_weighs_more(plain_tokenizer: Tokenizer) -> None:
    for one in [*dialogues("two calls"), *dialogues("calls")]:
        made = data.sample(one, plain_tokenizer)
        heavy = [
            token
            for token, weight in zip(made.ids, made.weights, strict=True)
            if weight == data.NAME_WEIGHT
        ]
        thought = f"{one.messages[-1]['reasoning_content']}</think>" if one.thinking else ""
        assert plain_tokenizer.decode(heavy, skip_special_tokens=False) == thought


def test_a_name_weighs_where_the_offered_names_part(plain_tokenizer: Tokenizer) -> None:
    def tool(name: str) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {}}
        return {"type": "function", "function": {"name": name, "parameters": parameters}}

    def weights_of(*offered: str) -> list[float]:
        call = assistant(None, ("ab1", {}), reasoning="")
        one = Dialogue("calls", [user("hi"), call], thinking=False, calls=[("ab1", {})])
        one.tools = [tool(name) for name in offered]
        made = data.sample(one, plain_tokenizer)
        # The template shows the form of a call as well, before the request.
        begin = len(made.ids) - made.ids[::-1].index(data.TOOL_CALL)
        letters = made.ids[begin : begin + 4]
        assert plain_tokenizer.decode(letters) == "ab1\n"
        return made.weights[begin : begin + 4]

    choice, forced = data.CHOICE_WEIGHT, data.FORCED_WEIGHT
    assert weights_of("ab1") == [forced] * 4
    assert weights_of("ab1", "xy") == [choice, forced, forced, forced]
    assert weights_of("ab1", "ab2", "xy") == [choice, forced, choice, forced]
    assert weights_of("ab1", "ab12") == [forced, forced, forced, choice]
    # Not offered: no grammar would let it through, and its name weighs as it did before.
    assert weights_of("xy") == [data.NAME_WEIGHT] * 4


@pytest.mark.parametrize("kind", data.MAKERS)
def test_an_answer_in_json_is_json_and_of_the_same_reasoning(kind: str) -> None:
    words = Words(kind)
    for one in dialogues(kind):
        before = copy.deepcopy(one)
        data.under_grammar(words, one)
        if before.messages[-1].get("tool_calls"):
            assert one == before
            continue
        value = json.loads(one.messages[-1]["content"])
        assert isinstance(value, dict)
        assert 1 <= len(value) <= 3
        last = one.messages[-1]["reasoning_content"]
        assert last == before.messages[-1]["reasoning_content"]
        assert one.messages[:-1] == before.messages[:-1]


def test_a_few_training_answers_are_json(plain_tokenizer: Tokenizer) -> None:
    words = Words("json")
    mixture = {"talk": 1.0}
    drawn = [data.draw(words, mixture, plain_tokenizer) for _ in range(1000)]
    in_json = sum(data.UNASKED_WEIGHT in one.weights for one in drawn)
    assert 8 < in_json < 40


def test_no_word_of_the_one_set_is_drawn_for_the_other() -> None:
    drawn = [
        {draw(words) for _ in range(3000) for draw in (Words.noun, Words.name, Words.integer)}
        for words in (Words("a"), Words("b", evaluation=True))
    ]
    assert drawn[0].isdisjoint(drawn[1])
    assert 20 < len([word for word in NOUNS if word in drawn[1]]) < len(NOUNS) / 4


def test_no_held_out_sum_is_asked_in_training() -> None:
    words = Words("sums")
    asked = {sums.draw(words) for _ in range(20_000)}
    assert not any(sums.pair_held_out(*one) for one in asked)
    wanted = {sums.draw(Words(f"{n}", evaluation=True)) for n in range(200)}
    assert asked.isdisjoint(wanted)


def test_no_evaluated_prompt_occurs_in_training() -> None:
    def asked(one: Dialogue) -> str:
        return json.dumps([one.tools, held_out.history(one)])

    training = {asked(one) for kind in data.MAKERS for one in dialogues(kind)}
    evaluated = {asked(one) for part in held_out.sets().values() for one in part}
    assert training.isdisjoint(evaluated)


def test_the_evaluations_sets_are_the_same_each_time() -> None:
    sizes = {name: len(part) for name, part in held_out.sets().items()}
    assert sizes == {
        "all tasks": 300,
        "chat": 100,
        "tool": 100,
        "two calls": 50,
        "sums, thinking on": 100,
        "sums, thinking off": 100,
    }
    assert held_out.sets() == held_out.sets()


@pytest.mark.parametrize(
    ("sign", "a", "b", "expected"),
    [
        ("+", 7, 8, "7 + 8 = 15."),
        ("+", 47, 38, "7 + 8 = 15, carry 1. 4 + 3 + 1 = 8. So 85."),
        ("-", 42, 7, "12 - 7 = 5, borrow 1. 4 - 0 - 1 = 3. So 35."),
        ("-", 3, 5, "3 is less than 5. 5 - 3 = 2. So -2."),
        ("*", 3, 4, "1 * 4 = 4, 2 * 4 = 8, 3 * 4 = 12."),
    ],
)
def test_sums_are_reasoned_digit_by_digit(sign: str, a: int, b: int, expected: str) -> None:
    assert sums.reasoning(sign, a, b) == expected


def test_batches_hold_each_dialogue_once(plain_tokenizer: Tokenizer) -> None:
    drawn = samples("a", {"sums": 1.0, "tool": 1.0}, 2000, plain_tokenizer)
    made = batches(drawn, 500)
    assert sum(group.count for batch in made for group in batch.groups) == len(drawn)
    assert sum(len(batch.learnt) for batch in made) == sum(
        sum(map(bool, one.weights)) for one in drawn
    )
    for batch in made:
        assert sum(group.count * group.length for group in batch.groups) == len(batch.ids)

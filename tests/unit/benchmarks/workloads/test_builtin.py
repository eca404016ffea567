"""The built-in workloads: seeded, varied, of the lengths that they state."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.errors import PlanError, WorkloadError
from benchmarks.workloads.builtin import BUILT_IN, Kind, generate, make
from benchmarks.workloads.draw import Draw
from benchmarks.workloads.files import read_jsonl
from benchmarks.workloads.kinds import chat, coding, long_prompt, structured
from benchmarks.workloads.kinds.writing import SLOT, Draft, Writer, count_words, user
from benchmarks.workloads.lengths import Fixed, Length, LogNormal, Uniform
from benchmarks.workloads.loading import load_workload
from benchmarks.workloads.workload import Prompt

NAMES = ("chat", "code", "json", "tools", "long-prompt", "long-answer")
JSON_TYPES = {"string", "integer", "number", "boolean", "array"}
ENDS_BY_ITSELF = ("json", "tools")


def said_by_user(prompt: Prompt) -> str:
    return " ".join(one["content"] for one in prompt.messages if one["role"] == "user")


def said(prompt: Prompt) -> str:
    return " ".join(one["content"] for one in prompt.messages)


def test_there_are_six_workloads_each_with_a_line_of_description() -> None:
    assert tuple(BUILT_IN) == NAMES
    assert all(len(kind.description) < 100 for kind in BUILT_IN.values())
    assert len({kind.description for kind in BUILT_IN.values()}) == len(NAMES)


# Whoever changes a text changes what reports were measured with: do it on purpose, and say so.
@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("chat", "de99a927dd19ae9b"),
        ("code", "d5215746f0dcffa4"),
        ("json", "bc21469bf3c57a86"),
        ("tools", "1e2b1b3feb0778f1"),
        ("long-prompt", "7908e1db274f8794"),
        ("long-answer", "6f1c16997e297b66"),
    ],
)
def test_a_seed_gives_the_prompts_that_earlier_reports_had(name: str, start: str) -> None:
    assert make(name, prompts=8, seed=0).sha256[:16] == start


@pytest.mark.parametrize("name", NAMES)
def test_more_prompts_begin_with_the_fewer_ones(name: str) -> None:
    few, many = make(name, prompts=5, seed=3), make(name, prompts=40, seed=3)

    assert many.prompts[:5] == few.prompts
    assert many.first(5).sha256 == few.sha256


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_prompts(name: str) -> None:
    one, other = make(name, prompts=20, seed=1), make(name, prompts=20, seed=2)

    assert not {said(p) for p in one.prompts} & {said(p) for p in other.prompts}


@pytest.mark.parametrize("name", NAMES)
def test_no_two_of_a_thousand_prompts_are_equal(name: str) -> None:
    prompts = make(name, prompts=1000, seed=0).prompts

    assert len({said(one) for one in prompts}) == 1000
    assert len({one.id for one in prompts}) == 1000


@pytest.mark.parametrize("name", NAMES)
def test_no_slot_of_a_sentence_stays_open(name: str) -> None:
    for prompt in make(name, prompts=300, seed=4).prompts:
        assert SLOT.search(said(prompt)) is None


@pytest.mark.parametrize("name", NAMES)
def test_prompts_have_about_the_words_that_the_source_states(name: str) -> None:
    length = BUILT_IN[name].prompt_words
    assert isinstance(length, Uniform | LogNormal)

    counts = [count_words(said_by_user(one)) for one in make(name, prompts=300, seed=0).prompts]

    # The last sentence is written to its end, and the question and a piece of code are whole.
    assert min(counts) >= length.low * 0.8
    assert max(counts) <= length.high + 40
    middle = length.median if isinstance(length, LogNormal) else (length.low + length.high) / 2
    assert statistics.median(counts) == pytest.approx(middle, rel=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_answers_have_a_fixed_number_of_tokens_unless_they_end_by_themselves(name: str) -> None:
    length = BUILT_IN[name].answer_tokens
    prompts = make(name, prompts=300, seed=0).prompts

    assert {one.ignore_eos for one in prompts} == {name not in ENDS_BY_ITSELF}
    drawn = {one.max_tokens for one in prompts}
    if isinstance(length, Fixed):
        assert drawn == {length.value}
    else:
        assert isinstance(length, Uniform | LogNormal)
        assert length.low <= min(drawn) < max(drawn) <= length.high


@pytest.mark.parametrize("name", NAMES)
def test_thinking_is_off(name: str) -> None:
    body = make(name, prompts=1, seed=0).prompts[0].to_request("m")

    assert body["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("name", NAMES)
def test_a_request_fits_a_context_of_8192_tokens_of_one_byte(name: str) -> None:
    for prompt in make(name, prompts=300, seed=0).prompts:
        sent = json.dumps([prompt.messages, prompt.tools], ensure_ascii=False).encode()
        assert len(sent) + prompt.max_tokens < 4096


@pytest.mark.parametrize("name", NAMES)
def test_the_source_states_the_seed_and_both_distributions(name: str) -> None:
    kind = BUILT_IN[name]

    source = make(name, prompts=1, seed=11).source

    assert "seed 11" in source
    assert kind.prompt_words.words("words") in source
    assert kind.answer_tokens.words("tokens") in source
    assert ("at most" in source) is (name in ENDS_BY_ITSELF)


@pytest.mark.parametrize("name", NAMES)
def test_a_scale_multiplies_the_lengths_and_is_in_the_name(name: str) -> None:
    one, long = make(name, prompts=100, seed=0), make(name, prompts=100, seed=0, scale=6)

    def words(prompts: tuple[Prompt, ...]) -> float:
        return statistics.median(count_words(said(prompt)) for prompt in prompts)

    assert long.name == f"{name}-x6"
    for short_prompt, long_prompt_ in zip(one.prompts, long.prompts, strict=True):
        assert long_prompt_.max_tokens == pytest.approx(6 * short_prompt.max_tokens, rel=0.1)
    growth = words(long.prompts) / words(one.prompts)
    assert 4 < growth < 8 if BUILT_IN[name].prompt_grows else growth == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_workload_is_read_back_as_the_same_requests(name: str, tmp_path: Path) -> None:
    made = make(name, prompts=20, seed=0)
    file = tmp_path / "stored.jsonl"
    file.write_bytes(made.to_jsonl())

    read = read_jsonl(file)

    assert read.sha256 == made.sha256
    # Byte by byte: the order of a schema's properties is the order in which a grammar wants them.
    for mine, other in zip(made.prompts, read.prompts, strict=True):
        assert json.dumps(mine.to_request("m")) == json.dumps(other.to_request("m"))


def test_each_json_prompt_has_a_schema_that_is_one_and_wants_every_field() -> None:
    names = set()
    for prompt in make("json", prompts=100, seed=0).prompts:
        form = prompt.options["response_format"]
        assert form["type"] == "json_schema"
        schema = form["json_schema"]["schema"]
        assert schema["required"] == list(schema["properties"])
        assert {one["type"] for one in schema["properties"].values()} <= JSON_TYPES
        names.add(form["json_schema"]["name"])

    assert names == {form.name for form in structured.FORMS}


def test_each_tools_prompt_offers_two_to_four_different_tools() -> None:
    prompts = make("tools", prompts=200, seed=0).prompts

    counts = set()
    for prompt in prompts:
        assert prompt.options["tool_choice"] == "auto"
        functions = [tool["function"] for tool in prompt.tools]
        counts.add(len(functions))
        assert len({function["name"] for function in functions}) == len(functions)
        for function in functions:
            properties = function["parameters"]["properties"]
            assert set(function["parameters"]["required"]) <= set(properties)
            assert {one["type"] for one in properties.values()} <= JSON_TYPES
    assert counts == {2, 3, 4}


def test_prompts_do_not_share_their_schemas() -> None:
    first, *others = make("tools", prompts=50, seed=0).prompts
    first.tools[0]["function"]["parameters"]["properties"].clear()

    assert all(tool["function"]["parameters"]["properties"] for p in others for tool in p.tools)


def test_one_in_three_chats_has_an_earlier_turn() -> None:
    turns = [len(one.messages) for one in make("chat", prompts=300, seed=0).prompts]

    assert set(turns) >= {2, 4}
    assert 0.2 < sum(count > 2 for count in turns) / len(turns) < 0.5


def test_the_last_word_is_always_the_user_s() -> None:
    for name in NAMES:
        for prompt in make(name, prompts=50, seed=0, scale=5).prompts:
            roles = [message["role"] for message in prompt.messages if message["role"] != "system"]
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_long_prompts_share_no_more_than_the_system_message_and_a_few_words() -> None:
    texts = sorted(said_by_user(one) for one in make("long-prompt", prompts=100, seed=0).prompts)

    shared = [
        next(at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        for one, other in itertools.pairwise(texts)
    ]
    assert max(shared) < 100


def test_code_is_fenced_and_names_its_language() -> None:
    languages = set()
    for prompt in make("code", prompts=200, seed=0).prompts:
        task, fence, _ = said_by_user(prompt).split("```")
        assert task.strip()
        languages.add(fence.split("\n")[0])

    assert languages == {name for name, _ in coding.SNIPPETS}


def test_python_that_is_pasted_can_be_parsed() -> None:
    for prompt in make("code", prompts=200, seed=0, scale=3).prompts:
        listing = said_by_user(prompt).split("```")[1]
        if listing.startswith("python\n"):
            compile(listing.removeprefix("python\n"), "pasted", "exec")


@pytest.mark.parametrize("write", [chat.write, coding.write, structured.write, long_prompt.write])
def test_a_length_of_one_word_still_gives_a_whole_request(
    write: Callable[[Draw, int], Draft],
) -> None:
    assert count_words(write(Draw("x"), 1).messages[-1]["content"]) > 5


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(WorkloadError, match="did you mean 'long-prompt'") as caught:
        make("long-promt", prompts=1, seed=0)

    assert "chat, code, json" in caught.value.action


@pytest.mark.parametrize("prompts", [0, -1])
def test_less_than_one_prompt_is_refused(prompts: int) -> None:
    with pytest.raises(WorkloadError, match="at least 1"):
        make("chat", prompts=prompts, seed=0)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_no_factor_is_refused(scale: float) -> None:
    with pytest.raises(PlanError, match="above 0"):
        make("chat", prompts=1, seed=0, scale=scale)


def test_a_kind_that_has_run_dry_says_how_many_prompts_it_has() -> None:
    colours = Kind(
        "",
        Fixed(1),
        Fixed(1),
        ignores_end=True,
        write=lambda draw, _: Draft((user(draw.pick(("red", "green", "blue"))),)),
    )

    assert len(generate("colours", colours, prompts=3, seed=0)) == 3
    with pytest.raises(WorkloadError, match="no more than 3 prompts that differ"):
        generate("colours", colours, prompts=4, seed=0)


@pytest.mark.parametrize(
    ("spec", "name", "scale"), [("chat-x4", "chat", 4), ("long-answer-x0.5", "long-answer", 0.5)]
)
def test_a_plan_can_name_a_scale(spec: str, name: str, scale: float) -> None:
    loaded = load_workload(spec, prompts=3, seed=2)

    assert loaded == make(name, prompts=3, seed=2, scale=scale)
    assert loaded.name == spec


def test_a_plan_names_a_built_in_workload() -> None:
    assert load_workload("tools", prompts=3, seed=2) == make("tools", prompts=3, seed=2)
    assert load_workload("tools-x1", prompts=3, seed=2).name == "tools"


@pytest.mark.parametrize("spec", ["chat-x0", "chat-x-4", "chat-4", "chat-x4000", "", "x" * 5000])
def test_what_is_neither_a_name_nor_a_file_is_refused(spec: str) -> None:
    with pytest.raises(WorkloadError, match="There is no workload"):
        load_workload(spec, prompts=3, seed=0)


# Lengths and choices.


@pytest.mark.parametrize(
    "length", [Fixed(64), Uniform(48, 96), LogNormal(64, 0.5, 16, 256)], ids=str
)
def test_a_thousand_lengths_have_the_stated_shape(length: Length) -> None:
    drawn = [length.draw(Draw("lengths", number)) for number in range(1000)]

    if isinstance(length, Fixed):
        assert set(drawn) == {64}
    elif isinstance(length, Uniform):
        assert set(drawn) == set(range(48, 97))
        assert statistics.mean(drawn) == pytest.approx(72, rel=0.05)
    else:
        assert statistics.median(drawn) == pytest.approx(64, rel=0.1)
        assert statistics.stdev(map(math.log, drawn)) == pytest.approx(0.5, rel=0.1)


def test_a_log_normal_length_is_clipped_at_both_ends() -> None:
    drawn = {LogNormal(50, 30.0, 40, 60).draw(Draw(number)) for number in range(200)}

    assert {40, 60} <= drawn
    assert (min(drawn), max(drawn)) == (40, 60)


@pytest.mark.parametrize(
    ("make_one", "what"),
    [
        (lambda: Fixed(0), "at least 1"),
        (lambda: Uniform(9, 8), "from 9 to 8"),
        (lambda: Uniform(0, 8), "from 0 to 8"),
        (lambda: LogNormal(5, 0.5, 6, 8), "from 6 to 5"),
        (lambda: LogNormal(9, 0.5, 6, 8), "from 9 to 8"),
        (lambda: LogNormal(7, 0.0, 6, 8), "sigma of 0"),
        (lambda: LogNormal(7, math.nan, 6, 8), "sigma of nan"),
    ],
)
def test_a_length_that_makes_no_sense_is_refused(make_one: Callable[[], Any], what: str) -> None:
    with pytest.raises(PlanError, match=what):
        make_one()


def test_lengths_are_stated_in_words() -> None:
    assert Fixed(64).words("tokens") == "64 tokens"
    assert Uniform(48, 96).scaled(2).words("tokens") == "96 to 192 tokens, uniform"
    assert (
        LogNormal(64, 0.3, 48, 96).scaled(0.5).words("words")
        == "24 to 48 words, log-normal with median 32 and sigma 0.3"
    )


def test_a_key_gives_the_same_choices_on_every_python() -> None:
    draw = Draw("chat", 7, 0)

    assert [draw.between(1, 100) for _ in range(6)] == [58, 71, 56, 55, 26, 13]
    assert draw.some("abcdef", 3) == ["a", "c", "b"]


@given(count=st.integers(0, 12), asked=st.integers(0, 20), seed=st.integers(0, 99))
def test_some_are_different_ones_and_no_more_than_there_are(
    count: int, asked: int, seed: int
) -> None:
    taken = Draw(seed).some(range(count), asked)

    assert len(taken) == len(set(taken)) == min(count, asked)
    assert set(taken) <= set(range(count))


@settings(max_examples=50)
@given(seed=st.integers(0, 9999))
def test_a_name_stays_the_same_within_one_text_and_changes_in_the_next(seed: int) -> None:
    writer = Writer(Draw(seed))
    first = writer.fill("{person} {person2} {person}").split()
    writer.renew()
    second = writer.fill("{person} {person2}").split()

    assert first[0] == first[2]
    assert len({*first, *second}) == 4


def test_a_sentence_comes_once_in_a_text() -> None:
    writer = Writer(Draw("x"))
    sentences = ("One two.", "Three four.", "Five six.")

    assert writer.text(sentences, 0) == []
    assert len(writer.text(sentences, 3)) == 2
    assert len(writer.text(sentences, 99)) == 1
    writer.renew()
    assert sorted(writer.text(sentences, 99)) == sorted(sentences)


def test_the_hash_is_that_of_the_lines() -> None:
    made = make("chat", prompts=2, seed=0)

    assert made.sha256 == hashlib.sha256(made.to_jsonl()).hexdigest()

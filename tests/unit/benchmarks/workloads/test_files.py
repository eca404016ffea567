"""Files of prompts: a user's JSONL, ShareGPT's format, and everything that can be wrong in them."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import WorkloadError
from benchmarks.workloads.files import load_file, name_of, read_jsonl
from benchmarks.workloads.loading import load_workload
from benchmarks.workloads.messages import DEFAULT_MAX_TOKENS, MOST_TOKENS, RESERVED
from benchmarks.workloads.messages import estimated_tokens as estimated
from benchmarks.workloads.workload import Prompt, Workload

HELLO = {"role": "user", "content": "Hello there"}
ANSWER = {"role": "assistant", "content": "x" * 400}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.jsonl"


def write(file: Path, *values: Any) -> Path:
    """Values as lines; a text stands for itself."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in values]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def load(file: Path, *, prompts: int = 1000, seed: int = 0) -> Workload:
    return load_file(file, prompts=prompts, seed=seed)


def talk(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    """A conversation of ShareGPT."""
    return {"conversations": [{"from": who, "value": text} for who, text in turns], **more}


def refusal(file: Path) -> WorkloadError:
    with pytest.raises(WorkloadError) as caught:
        load(file)
    assert caught.value.action
    assert len(caught.value.problem) < 500
    return caught.value


# A user's own requests.


def test_lines_of_all_three_shapes_are_read(file: Path) -> None:
    write(
        file,
        {"messages": [HELLO], "max_tokens": 7, "id": "a", "ignore_eos": True, "tools": [TOOL]},
        [{"role": "system", "content": "Be brief."}, HELLO],
        {"prompt": "Hello", "options": {"temperature": 0.7}},
    )

    first, second, third = load(file).prompts

    assert first == Prompt(id="a", messages=(HELLO,), max_tokens=7, ignore_eos=True, tools=(TOOL,))
    assert second.id == "line-2"
    assert [one["role"] for one in second.messages] == ["system", "user"]
    assert second.max_tokens == DEFAULT_MAX_TOKENS
    assert third.messages == ({"role": "user", "content": "Hello"},)
    assert third.to_request("m")["temperature"] == 0.7


def test_an_array_of_requests_is_read_too(file: Path) -> None:
    file.write_text(json.dumps([{"prompt": "a"}, {"prompt": "b"}], indent=2))

    assert [one.id for one in load(file).prompts] == ["entry-1", "entry-2"]


def test_one_line_of_messages_is_one_request_and_no_array_of_them(file: Path) -> None:
    assert len(load(write(file, [HELLO])).prompts) == 1
    assert len(load(write(file, [HELLO], [HELLO, ANSWER, HELLO])).prompts) == 2
    file.write_text(json.dumps([HELLO], indent=2))
    assert len(load(file).prompts) == 1


def test_the_order_is_the_file_s_whatever_the_seed(file: Path) -> None:
    write(file, *({"prompt": f"Prompt {number}"} for number in range(50)))

    assert load(file, prompts=5, seed=1).prompts == load(file, seed=2).prompts[:5]
    assert len(load(file, prompts=99).prompts) == 50


def test_the_source_says_how_many_of_how_many(file: Path) -> None:
    write(file, {"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"})

    assert load(file, prompts=2).source.startswith("mine.jsonl, messages, 2 of 3; ")
    assert str(file.parent) not in load(file).source


def test_a_last_message_of_the_assistant_is_the_reference_answer(file: Path) -> None:
    write(
        file,
        [HELLO, ANSWER],
        {"messages": [HELLO, ANSWER], "max_tokens": 9},
        {"messages": [HELLO, ANSWER], "options": {"continue_final_message": True}},
        [HELLO, {"role": "assistant", "content": ""}],
        [HELLO, {"role": "assistant", "tool_calls": [{"id": "1"}]}],
    )

    estimated_length, given_length, continued, empty, calls = load(file).prompts

    assert estimated_length.messages == (HELLO,)
    assert estimated_length.max_tokens == 100
    assert given_length.messages == (HELLO,)
    assert given_length.max_tokens == 9
    assert continued.messages == (HELLO, ANSWER)
    assert empty.max_tokens == 1
    assert calls.messages == (HELLO,)


def test_what_we_do_not_know_of_a_message_is_sent_as_it_is(file: Path) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "Z", "a": [1.5]}
    tool = TOOL | {"strict": True}
    write(file, {"messages": [parts], "tools": [tool]})

    (prompt,) = load(file).prompts

    assert json.dumps(prompt.messages[0]) == json.dumps(parts)
    assert json.dumps(prompt.tools[0]) == json.dumps(tool)


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_are_passed_over(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf\r\n{"prompt": "a"}\r\n\r\n  \n{"prompt": "b"}')

    assert [one.id for one in load(file).prompts] == ["line-2", "line-5"]


def test_a_line_separator_of_unicode_ends_no_line(file: Path) -> None:
    file.write_text('{"prompt": "a\u2028b\x85c"}\n', encoding="utf-8")

    assert load(file).prompts[0].messages[0]["content"] == "a\u2028b\x85c"


def test_a_line_of_ten_megabytes_is_read(file: Path) -> None:
    (prompt,) = load(write(file, {"prompt": "long " * 2_000_000})).prompts

    assert len(prompt.messages[0]["content"]) == 10_000_000


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"prompt": "a"}\n{"prompt" "b"}', "line 2, column 11", "expected `:`"),
        ('{"prompt": "a"}\n\n{"prompt": "b"', "line 3, column 14", "EOF"),
        ('{"prompt": "é", "id" 1}', "line 1, column 22", "expected `:`"),
        ("{'prompt': 'a'}", "line 1, column 2", "key must be a string"),
        ('{"prompt": "a"} {"prompt": "b"}', "line 1, column 17", "trailing characters"),
        ("Hello\n", "line 1, column 1", "expected value"),
        ('{\n"prompt": "a"\n}', "line 1, column 1", "EOF"),
        ('{"prompt": "\\ud800"}', "line 1", "hex escape"),
        ('{"options": {"a": NaN}}', "line 1, column 19", "expected value"),
        ("[" * 5000, "line 1", "recursion limit"),
        ('[{"prompt": "a"},\n {"prompt" "b"}]', "line 2, column 12", "expected `:`"),
        ('\n[{"prompt": "a"},\n', "line 3", "EOF"),
    ],
)
def test_what_is_not_json_is_told_with_line_and_column(
    file: Path, text: str, where: str, what: str
) -> None:
    file.write_text(text, encoding="utf-8")

    problem = refusal(file).problem

    assert problem.startswith(f"mine.jsonl, {where}")
    assert what in problem


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"messages": []}, "'messages': list should have at least 1 item"),
        ([], "'messages': list should have at least 1 item"),
        ({}, "needs either 'messages' or 'prompt'"),
        ({"messages": [HELLO], "prompt": "a"}, "needs either"),
        ({"prompt": ""}, "'prompt': string should have at least 1 character"),
        ({"prompt": 1}, "'prompt': input should be a valid string"),
        ({"message": [HELLO]}, "unknown key 'message' (did you mean 'messages'?)"),
        ({"prompt": "a", "max_token": 3}, "unknown key 'max_token' (did you mean 'max_tokens'?)"),
        ({"prompt": "a", "max_tokens": 0}, "'max_tokens': input should be greater than or equal"),
        ({"prompt": "a", "max_tokens": "9"}, "'max_tokens': input should be a valid integer"),
        ({"prompt": "a", "max_tokens": True}, "'max_tokens': input should be a valid integer"),
        ({"prompt": "a", "ignore_eos": "no"}, "'ignore_eos': input should be a valid boolean"),
        ({"prompt": "a", "id": 1.5}, "'id': must be a text or a whole number"),
        ({"prompt": "a", "id": True}, "'id': must be a text or a whole number"),
        ({"prompt": "a", "id": ""}, "'id': must have 1 to 200 printable characters"),
        ({"prompt": "a", "id": "a\nb"}, "'id': must have 1 to 200 printable characters"),
        ({"prompt": "a", "tools": [{"type": "function"}]}, "'tools[0].function' is missing"),
        ({"prompt": "a", "options": {"stream": False}}, "'options': may not hold 'stream'"),
        ([{"content": "a"}], "'messages[0].role' is missing"),
        ([HELLO, {"role": "bot", "content": "a"}], "'messages[1].role': input should be 'system'"),
        ([{"role": "user"}], "'messages[0]': has no content"),
        ([{"role": "user", "content": 5}], "'messages[0]': content must be a text or a list"),
        ([ANSWER], "it holds an answer and no question"),
        ('{"prompt": "a", "options": {"seed": 1e999}}', "a number in it is too large"),
        ('"Hello"', "it is neither an object nor a list"),
        ("5", "it is neither an object nor a list"),
        ("null", "it is neither an object nor a list"),
    ],
)
def test_a_malformed_line_is_told_with_its_number_and_what_is_wrong(
    file: Path, value: Any, what: str
) -> None:
    write(file, {"prompt": "good"}, "", value, {"prompt": "good"})

    problem = refusal(file).problem

    assert problem.startswith("mine.jsonl, line 3: ")
    assert what in problem


@pytest.mark.parametrize("key", RESERVED)
def test_options_hold_nothing_that_the_benchmark_sets(file: Path, key: str) -> None:
    write(file, {"prompt": "a", "options": {key: 1}})

    assert f"may not hold {key!r}" in refusal(file).problem


def test_a_line_behind_those_asked_for_is_checked_too(file: Path) -> None:
    write(file, {"prompt": "a"}, {"prompt": "b"}, {"promt": "c"})

    with pytest.raises(WorkloadError, match="line 3: unknown key 'promt'"):
        load(file, prompts=1)


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"role": "s3cret" * 50, "content": "s3cret"}]},
        {"prompt": ["s3cret"]},
        {"prompt": "a", "max_tokens": "s3cret"},
        '{"prompt": "s3cret" "s3cret"}',
    ],
)
def test_a_problem_does_not_repeat_what_a_user_said(file: Path, value: Any) -> None:
    assert "s3cret" not in refusal(write(file, value)).problem


def test_many_problems_and_long_keys_are_told_briefly(file: Path) -> None:
    write(file, {"prompt": "a", **{f"{'k' * 3000}{number}": 1 for number in range(9)}})

    assert refusal(file).problem.endswith("; and 6 more.")


def test_an_id_that_comes_twice_is_told_with_both_lines(file: Path) -> None:
    write(file, {"prompt": "a", "id": 7}, {"prompt": "b"}, {"prompt": "c", "id": "7"})

    assert "line 3: the id '7' is taken by line 1" in refusal(file).problem


def test_an_id_that_is_another_line_s_made_up_one_is_told(file: Path) -> None:
    write(file, {"prompt": "a", "id": "line-2"}, {"prompt": "b"})

    assert "line 2: the id 'line-2' is taken by line 1" in refusal(file).problem


# Files that are none.


@pytest.mark.parametrize("data", [b"", b"\n \r\n\t", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)

    assert refusal(file).problem == "mine.jsonl is empty."


def test_an_empty_array_is_refused(file: Path) -> None:
    file.write_text("[]\n")

    assert refusal(file).problem == "mine.jsonl is an empty array."


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    error = refusal(tmp_path / "no.jsonl")

    assert str(tmp_path / "no.jsonl") in error.problem
    assert "No such file" in error.problem


@pytest.mark.parametrize("name", ["a\0b.jsonl", "x" * 300 + ".jsonl"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    assert "cannot be read" in refusal(tmp_path / name).problem


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path).problem


def test_a_pipe_is_refused_and_not_waited_for(file: Path) -> None:
    os.mkfifo(file)

    assert "is not a regular file" in refusal(file).problem


def test_bytes_that_are_not_utf_8_are_told_with_their_place(file: Path) -> None:
    file.write_bytes('{"prompt": "a"}\n{"prompt": "é'.encode() + b'\xe9"}\n')

    assert refusal(file).problem == "mine.jsonl, line 2, column 14: the byte 0xe9 is not UTF-8."


def test_a_file_in_utf_16_is_refused(file: Path) -> None:
    file.write_text('{"prompt": "a"}', encoding="utf-16")

    assert "is not UTF-8" in refusal(file).problem


@pytest.mark.parametrize("prompts", [0, -3])
def test_less_than_one_prompt_is_refused(file: Path, prompts: int) -> None:
    write(file, {"prompt": "a"})

    with pytest.raises(WorkloadError, match="at least 1"):
        load(file, prompts=prompts)


# ShareGPT.


def test_the_first_question_is_asked_at_the_length_of_its_answer(file: Path) -> None:
    file.write_text(
        json.dumps(
            [
                talk(
                    ("system", "Be brief."),
                    ("human", "What is a tide?"),
                    ("gpt", "a" * 81),
                    ("human", "And why?"),
                    ("gpt", "b" * 8000),
                    id="abc_0",
                )
            ]
        )
    )

    assert load(file).prompts == (
        Prompt(
            id="abc_0",
            messages=(
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is a tide?"},
            ),
            max_tokens=21,
            ignore_eos=True,
            options={"chat_template_kwargs": {"enable_thinking": False}},
        ),
    )


@pytest.mark.parametrize("name", ["sharegpt.json", "sharegpt.jsonl", "anything.txt"])
@pytest.mark.parametrize("shape", ["array", "indented", "lines"])
def test_it_is_told_by_what_it_holds(tmp_path: Path, name: str, shape: str) -> None:
    talks = [talk(("user", f"Question {n}?"), ("assistant", "Yes, it is.")) for n in range(3)]
    file = tmp_path / name
    if shape == "lines":
        write(file, *talks)
    else:
        file.write_text(json.dumps(talks, indent=2 if shape == "indented" else None))

    workload = load_workload(str(file), prompts=9, seed=0)

    assert "ShareGPT, 3 of 3" in workload.source
    assert {one.messages[0]["content"] for one in workload.prompts} == {
        f"Question {n}?" for n in range(3)
    }


def test_the_older_key_of_a_conversation_is_read(file: Path) -> None:
    write(file, {"conversation": talk(("human", "Hello?"), ("gpt", "Hello."))["conversations"]})

    assert len(load(file).prompts) == 1


def test_what_has_no_question_with_an_answer_is_left_out_and_counted(file: Path) -> None:
    write(
        file,
        talk(("gpt", "An answer alone.")),
        talk(("human", "A question alone?")),
        talk(),
        talk(("human", "Why?"), ("gpt", "No.")),
        talk(("human", " "), ("gpt", "An answer to nothing.")),
        talk(("gpt", "The end of another."), ("human", "A real one?"), ("gpt", "A real answer.")),
    )

    workload = load(file)

    assert [one.messages[0]["content"] for one in workload.prompts] == ["A real one?"]
    assert "5 without question and answer left out" in workload.source


def test_a_file_without_any_question_is_refused(file: Path) -> None:
    write(file, talk(("gpt", "An answer alone.")), talk())

    assert "None of the 2 conversations" in refusal(file).problem


def test_the_seed_draws_and_more_prompts_begin_with_the_fewer(file: Path) -> None:
    write(file, *(talk(("human", f"Question {n}?"), ("gpt", "An answer.")) for n in range(200)))

    few, many = load(file, prompts=10, seed=1), load(file, prompts=50, seed=1)

    assert few.prompts == many.prompts[:10]
    assert few.prompts != load(file, prompts=10, seed=2).prompts
    assert len({one.id for one in load(file).prompts}) == 200


def test_ids_that_come_twice_are_told_apart(file: Path) -> None:
    turns = (("human", "Question?"), ("gpt", "An answer."))
    write(file, talk(*turns, id="a"), talk(*turns, id="a"), talk(*turns, id=["?"]), talk(*turns))

    ids = {one.id for one in load(file).prompts}

    assert ids in ({"a", "a#2", "line-3", "line-4"}, {"a", "a#1", "line-3", "line-4"})


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"conversations": "a"}, "'conversations': input should be a valid list"),
        ({"conversations": [{"value": "a"}]}, "'conversations[0].from' is missing"),
        ({"conversations": [{"from": "human"}]}, "'conversations[0].value' is missing"),
        ({"conversations": [{"from": "gpt", "value": 5}]}, "'conversations[0].value': input"),
        ({"messages": []}, "'conversations' is missing"),
        ("5", "it is neither an object nor a list"),
    ],
)
def test_a_malformed_conversation_is_told_with_its_place(file: Path, value: Any, what: str) -> None:
    good = talk(("human", "Question?"), ("gpt", "An answer."))

    problem = refusal(write(file, good, value)).problem
    assert problem.startswith("mine.jsonl, line 2: ")
    assert what in problem

    file.write_text(json.dumps([good, json.loads(value) if isinstance(value, str) else value]))
    assert refusal(file).problem.startswith("mine.jsonl, entry 2: ")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("潮汐", 2), ("a" * 5_000_000, MOST_TOKENS)],
)
def test_a_token_is_estimated_at_four_bytes(text: str, tokens: int) -> None:
    assert estimated(text) == tokens


# Round trip.

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "tool"]), "content": st.text(max_size=40)},
    optional={"name": st.text(max_size=8), "more": VALUES},
)
TOOLS = st.builds(
    lambda name, schema: {"type": "function", "function": {"name": name, "parameters": schema}},
    st.text(min_size=1, max_size=8),
    st.dictionaries(st.text(max_size=8), VALUES, max_size=3),
)
PROMPTS = st.builds(
    Prompt,
    id=st.text(string.ascii_letters + string.digits + "-_ é/", min_size=1, max_size=20),
    messages=st.lists(MESSAGES, min_size=1, max_size=4).map(tuple),
    max_tokens=st.integers(1, MOST_TOKENS),
    ignore_eos=st.booleans(),
    tools=st.lists(TOOLS, max_size=2).map(tuple),
    options=st.dictionaries(
        st.text(max_size=12).filter(lambda key: key not in RESERVED), VALUES, max_size=3
    ),
)


@given(prompts=st.lists(PROMPTS, min_size=1, max_size=5, unique_by=lambda one: one.id))
def test_any_workload_comes_back_from_its_own_lines(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[Prompt]
) -> None:
    written = Workload("any", "Anything.", tuple(prompts), "a test")
    file = tmp_path_factory.mktemp("round") / "trip.jsonl"
    file.write_bytes(written.to_jsonl())

    read = read_jsonl(file)

    assert read.prompts == written.prompts
    assert read.sha256 == written.sha256
    assert read.to_jsonl() == written.to_jsonl()


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "any.jsonl"
    file.write_bytes(data)
    refused: WorkloadError | None = None
    try:
        assert load(file).prompts
    except WorkloadError as error:
        refused = error

    assert refused is None or (refused.problem.endswith(".") and refused.action)


def test_a_stored_sharegpt_workload_is_read_back(file: Path, tmp_path: Path) -> None:
    write(
        file,
        talk(("human", "Question?"), ("gpt", "a" * 5_000_000), id="i" * 500),
        talk(("human", "Question?"), ("gpt", "An answer."), id="i" * 500),
    )
    workload = load(file)
    stored = tmp_path / "stored.jsonl"
    stored.write_bytes(workload.to_jsonl())

    assert read_jsonl(stored).prompts == workload.prompts


# Names and specs.


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/my prompts (v2).jsonl", "my-prompts-v2"),
        ("chat.2025.jsonl", "chat.2025"),
        ("ü.jsonl", "file"),
        ("x" * 90 + ".json", "x" * 64),
    ],
)
def test_a_workload_is_named_after_its_file(path: str, name: str) -> None:
    assert name_of(Path(path)) == name


def test_a_file_called_like_a_built_in_workload_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "chat", {"prompt": "a"})
    write(tmp_path / "chat.jsonl", {"prompt": "a"})
    monkeypatch.chdir(tmp_path)

    assert load_workload("chat", prompts=2, seed=0).source.startswith("built in")
    assert load_workload("./chat", prompts=2, seed=0).name == "chat-file"
    assert load_workload("chat.jsonl", prompts=2, seed=0).name == "chat-file"


def test_any_file_that_exists_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "prompts", {"prompt": "a"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert load_workload("prompts", prompts=2, seed=0).name == "prompts"
    assert load_workload("~/prompts", prompts=2, seed=0).name == "prompts"


@pytest.mark.parametrize("spec", ["missing.jsonl", "missing.json", "no/such", "~nobody-here/a"])
def test_what_looks_like_a_path_is_told_as_one(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(WorkloadError, match="cannot be read: No such file"):
        load_workload(spec, prompts=2, seed=0)

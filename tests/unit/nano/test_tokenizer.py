"""The tokenizer: lossless, values cut the same way everywhere, GLM's names and ids."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.nano.folder import model_path
from tests.unit.nano.conftest import load_tokenizer
from tools.nano.model import shape
from tools.nano.text import make_tokenizer, tokens

GLM_IDS = {
    "<|endoftext|>": 151329,
    "[MASK]": 151330,
    "[gMASK]": 151331,
    "[sMASK]": 151332,
    "<sop>": 151333,
    "<eop>": 151334,
    "<|system|>": 151335,
    "<|user|>": 151336,
    "<|assistant|>": 151337,
    "<|observation|>": 151338,
    "<think>": 151350,
    "</think>": 151351,
    "<tool_call>": 151352,
    "</tool_call>": 151353,
    "<tool_response>": 151354,
    "</tool_response>": 151355,
    "<arg_key>": 151356,
    "</arg_key>": 151357,
    "<arg_value>": 151358,
    "</arg_value>": 151359,
    "/nothink": 151360,
}


def read(name: str) -> Any:
    return json.loads((model_path() / name).read_text(encoding="utf-8"))


def test_any_text_comes_back_byte_for_byte(tokenizer: Any) -> None:
    pieces = st.one_of(st.text(), st.sampled_from(sorted(tokens.IDS)))

    @given(st.lists(pieces).map("".join))
    def comes_back(text: str) -> None:
        ids = tokenizer.encode(text)
        assert max(ids, default=0) < tokens.VOCABULARY
        assert tokenizer.decode(ids, skip_special_tokens=False) == text

    comes_back()


def test_a_byte_is_its_own_id_where_no_word_is_known(tokenizer: Any) -> None:
    text = "xkqzz-é世🦊\x00\n7"
    assert tokenizer.encode(text) == list(text.encode())


def test_a_word_that_is_not_known_is_cut_the_same_way_everywhere(tokenizer: Any) -> None:
    ids = tokenizer.encode("kivoma")
    assert tokenizer.convert_ids_to_tokens(ids) == ["ki", "vo", "ma"]
    assert tokenizer.encode(" kivoma") == [*tokenizer.encode(" "), *ids]
    assert tokenizer.encode("get_kivoma")[-3:] == ids
    assert tokenizer.encode('"kivoma"')[1:-1] == ids


def test_a_known_word_is_the_same_token_in_a_sentence_a_name_and_a_value(tokenizer: Any) -> None:
    (table,) = tokenizer.encode("table")
    for text in ("a table", "book_table", "get-table", '"table"', "x.table", " table."):
        assert table in tokenizer.encode(text)
    (capital,) = tokenizer.encode("File")
    assert tokenizer.encode("readFile")[-1] == capital


def test_a_name_is_cut_where_a_capital_begins(tokenizer: Any) -> None:
    assert tokenizer.tokenize("getTime") == ["get", "Time"]
    assert tokenizer.tokenize("getUTCTime") == ["get", "U", "T", "C", "Time"]


def test_common_words_have_their_space_with_them(tokenizer: Any) -> None:
    for word in make_tokenizer.BEHIND_SPACE:
        assert len(tokenizer.encode(word)) == 1
        assert len(tokenizer.encode(f"{word}xq")) > 1


def test_digits_stand_alone(tokenizer: Any) -> None:
    assert tokenizer.encode("1234567890") == list(b"1234567890")


def test_the_fixed_parts_of_a_tools_schema_are_few_tokens(tokenizer: Any) -> None:
    schema = '{"type": "function", "function": {"name": "kivo", "parameters": {"type": "object", "properties": {"lamo": {"type": "string"}}, "required": ["lamo"]}}}'  # noqa: E501
    assert len(tokenizer.encode(schema)) < 25


def test_the_same_bank_makes_the_same_tokenizer(tmp_path: Path, made_folder: Path) -> None:
    make_tokenizer.main(["--folder", str(tmp_path)])
    made = (tmp_path / "tokenizer.json").read_bytes()
    assert made == (made_folder / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(("name", "glm_id"), GLM_IDS.items())
def test_an_added_token_has_glms_id_less_a_constant(tokenizer: Any, name: str, glm_id: int) -> None:
    assert tokenizer.encode(name) == [glm_id - 151329 + tokens.FIRST_ADDED]
    assert tokens.IDS[name] == glm_id - 151329 + tokens.FIRST_ADDED


def test_only_special_tokens_are_dropped_from_text(tokenizer: Any) -> None:
    ids = tokenizer.encode("a<|user|>b<think>c</think>d<tool_call>e")
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text == "ab<think>c</think>d<tool_call>e"


def test_no_token_is_put_before_a_text(tokenizer: Any) -> None:
    assert tokenizer.encode("") == []


def test_the_configurations_agree_with_the_tokenizer(tokenizer: Any) -> None:
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    config = shape.config()
    for one in (config, shape.generation_config()):
        assert one["eos_token_id"] == ends
        assert one["pad_token_id"] == tokenizer.pad_token_id == ends[0]
    assert tokenizer.eos_token_id == ends[0]
    assert len(tokenizer) <= config["vocab_size"] == tokens.VOCABULARY
    assert tokenizer.model_max_length == config["max_position_embeddings"]


def test_the_committed_configurations_agree_with_the_committed_tokenizer() -> None:
    committed = load_tokenizer(model_path())
    ends = committed.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    for name in ("config.json", "generation_config.json"):
        assert read(name)["eos_token_id"] == ends
        assert read(name)["pad_token_id"] == committed.pad_token_id == ends[0]
    assert len(committed) <= read("config.json")["vocab_size"]
    assert committed.model_max_length == read("config.json")["max_position_embeddings"]

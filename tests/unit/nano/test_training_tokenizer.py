"""The trained model's tokenizer: values cut the same way everywhere, GLM's names and ids."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.nano import tokens
from tests.unit.nano.test_tokenizer import GLM_IDS
from tools.nano import tokenizer as maker
from tools.nano.folder import model_path
from tools.nano.vocabulary import FIRST_ADDED, IDS, VOCABULARY
from tools.nano.words import NOUNS, PEOPLE, PLACES


def read(name: str) -> Any:
    return json.loads((model_path() / name).read_text(encoding="utf-8"))


def test_any_text_comes_back_byte_for_byte(trained_tokenizer: Any) -> None:
    pieces = st.one_of(st.text(), st.sampled_from(sorted(IDS)))

    @given(st.lists(pieces).map("".join))
    def comes_back(text: str) -> None:
        ids = trained_tokenizer.encode(text)
        assert max(ids, default=0) < VOCABULARY
        assert trained_tokenizer.decode(ids, skip_special_tokens=False) == text

    comes_back()


def test_a_byte_is_its_own_id_where_no_word_is_known(trained_tokenizer: Any) -> None:
    text = "xkqzz-é世🦊\x00\n7"
    assert trained_tokenizer.encode(text) == list(text.encode())


def test_a_word_that_is_not_known_is_cut_the_same_way_everywhere(trained_tokenizer: Any) -> None:
    ids = trained_tokenizer.encode("kivoma")
    assert trained_tokenizer.convert_ids_to_tokens(ids) == ["ki", "vo", "ma"]
    assert trained_tokenizer.encode(" kivoma") == [*trained_tokenizer.encode(" "), *ids]
    assert trained_tokenizer.encode("get_kivoma")[-3:] == ids
    assert trained_tokenizer.encode('"kivoma"')[1:-1] == ids


def test_no_word_of_the_values_is_one_token(trained_tokenizer: Any) -> None:
    for word in (*NOUNS, *PLACES, *PEOPLE):
        for written in (word, f" {word}", word.capitalize()):
            ids = trained_tokenizer.encode(written)
            assert max(map(len, trained_tokenizer.convert_ids_to_tokens(ids))) <= 2


def test_digits_stand_alone(trained_tokenizer: Any) -> None:
    assert trained_tokenizer.encode("1234567890") == list(b"1234567890")


def test_the_fixed_parts_of_a_tools_schema_are_few_tokens(trained_tokenizer: Any) -> None:
    schema = '{"type": "function", "function": {"name": "kivo", "parameters": {"type": "object", "properties": {"lamo": {"type": "string"}}, "required": ["lamo"]}}}'  # noqa: E501
    assert len(trained_tokenizer.encode(schema)) < 20


def test_the_committed_tokenizer_is_the_one_that_is_made(tmp_path: Path) -> None:
    text = (model_path() / "tokenizer.json").read_text(encoding="utf-8")
    committed = json.loads(text)["model"]["vocab"]
    first = tokens.BYTES + len(maker.pieces()) + len(maker.PHRASES)
    symbols = {symbol: byte for byte, symbol in maker.alphabet().items()}
    words = [
        bytes(symbols[symbol] for symbol in word).decode()
        for word, number in committed.items()
        if number >= first and not word.startswith("<unused-")
    ]
    maker.make(words).save(str(tmp_path / "tokenizer.json"))
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("name", "glm_id"), GLM_IDS.items())
def test_an_added_token_has_glms_id_less_a_constant(
    trained_tokenizer: Any, name: str, glm_id: int
) -> None:
    assert trained_tokenizer.encode(name) == [glm_id - 151329 + FIRST_ADDED]
    assert IDS[name] == glm_id - 151329 + FIRST_ADDED


def test_the_configurations_agree_with_the_tokenizer(trained_tokenizer: Any) -> None:
    ends = trained_tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|user|>", "<|observation|>"])
    for name in ("config.json", "generation_config.json"):
        assert read(name)["eos_token_id"] == ends
        assert read(name)["pad_token_id"] == trained_tokenizer.pad_token_id == ends[0]
    assert trained_tokenizer.eos_token_id == ends[0]
    assert len(trained_tokenizer) <= read("config.json")["vocab_size"] == VOCABULARY
    assert trained_tokenizer.model_max_length == read("config.json")["max_position_embeddings"]

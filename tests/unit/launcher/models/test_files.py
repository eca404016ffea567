"""Which files of a repository are needed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import ModelIncompleteError, NoSafetensorsError
from launcher.models.files import Manifest, RemoteFile, choose_files
from tests.unit.launcher.models.hub_models import NEEDED, model_files

DIGEST = "0" * 40


def remote(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, 10, DIGEST) for name in names]


def chosen(names: list[str], index: bytes | None = None) -> list[str]:
    return [file.path for file in choose_files(remote(*names), index)]


def test_with_an_index_its_weights_and_the_files_about_them_are_needed() -> None:
    files = model_files()
    assert set(chosen(list(files), files["model.safetensors.index.json"])) == NEEDED


def test_the_small_files_come_first() -> None:
    assert chosen(["model.safetensors", "config.json"]) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    "name", ["a.py", "a.bin", "a.pt", "a.gguf", "a.h5", "README.md", "x/a.safetensors", ".a.json"]
)
def test_what_runs_code_or_is_for_others_is_never_needed(name: str) -> None:
    assert chosen(["model.safetensors", name]) == ["model.safetensors"]


@pytest.mark.parametrize("name", ["../x.json", "/x.json", "a\\b.json", "a\nb.json", "a\0.json"])
def test_a_name_that_is_a_path_is_left_out(name: str) -> None:
    assert chosen(["model.safetensors", name]) == ["model.safetensors"]


@pytest.mark.parametrize("names", [[], ["pytorch_model.bin"], ["onnx/model.safetensors"]])
def test_without_safetensors_nothing_is_served(names: list[str]) -> None:
    with pytest.raises(NoSafetensorsError):
        choose_files(remote(*names), None)


def test_an_index_that_names_what_is_not_there_is_told_with_the_name() -> None:
    index = json.dumps({"weight_map": {"a": "model-2.safetensors"}}).encode()
    with pytest.raises(ModelIncompleteError) as caught:
        choose_files(remote("model-1.safetensors"), index)
    assert caught.value.evidence == ("model-2.safetensors",)


@given(
    st.binary(max_size=50) | st.just(b'{"weight_map": {}}') | st.just(b'{"weight_map": {"a":1}}')
)
def test_an_index_that_is_none_is_told(index: bytes) -> None:
    with pytest.raises(ModelIncompleteError):
        choose_files(remote("model.safetensors"), index)


@pytest.mark.parametrize(("size", "digest"), [(-1, DIGEST), (1, ""), (1, "../../x"), (1, "0" * 41)])
def test_a_file_without_a_proper_hash_or_size_is_none(size: int, digest: str) -> None:
    with pytest.raises(ValueError, match="config.json"):
        RemoteFile("config.json", size, digest)


def test_a_manifest_knows_its_size_and_its_files() -> None:
    manifest = Manifest("o/n", "main", "a" * 40, tuple(remote("a", "b")))
    assert manifest.total_bytes == 20
    assert manifest.find("b") == manifest.files[1]
    assert manifest.find("c") is None

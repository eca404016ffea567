"""A model folder is complete, or it is told which file is not."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.errors import ModelIncompleteError, ModelNotFoundError
from launcher.models.folder import INDEX_NAME, check_model_folder
from launcher.nano.folder import model_path


def shard(*sizes: int, **metadata: str) -> bytes:
    """A safetensors file with one byte tensor of each size."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for number, size in enumerate(sizes):
        header[f"t{number}"] = {
            "dtype": "U8",
            "shape": [size],
            "data_offsets": [end, end := end + size],
        }
    return pack(json.dumps(header).encode()) + bytes(end)


def pack(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "glm4_moe"}')
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def test_a_folder_with_one_file_of_weights_is_complete(folder: Path) -> None:
    content = shard(10, 20, format="pt")
    (folder / "model.safetensors").write_bytes(content)

    checked = check_model_folder(folder)

    assert checked.path == folder
    assert checked.config == {"model_type": "glm4_moe"}
    assert checked.weights_bytes == len(content)


def test_the_index_says_which_files_belong_to_the_model(folder: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (folder / name).write_bytes(shard(5))
    (folder / "stray.safetensors").write_bytes(b"no weights at all")
    index(folder, {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"})

    assert check_model_folder(folder).weights_bytes == 2 * len(shard(5))


def test_a_tokenizer_may_be_described_by_its_config_alone(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(shard(1))
    (folder / "tokenizer.json").rename(folder / "tokenizer_config.json")

    assert check_model_folder(folder).weights_bytes > 0


def test_links_into_a_cache_are_followed(folder: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(shard(3))
    (folder / "model.safetensors").symlink_to(blob)

    assert check_model_folder(folder).weights_bytes == len(shard(3))


def test_the_embedded_model_is_complete() -> None:
    if not (model_path() / "config.json").is_file():
        pytest.skip("the embedded model has not been built")

    assert check_model_folder(model_path()).config["architectures"] == ["Glm4MoeForCausalLM"]


@settings(max_examples=50)  # each writes a file
@given(st.lists(st.integers(0, 50), max_size=5), st.data())
def test_a_file_cut_short_or_too_long_is_never_complete(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    whole = shard(*sizes)
    length = data.draw(st.integers(0, len(whole) + 5).filter(lambda length: length != len(whole)))
    (folder / "model.safetensors").write_bytes((whole + b"extra")[:length])

    with pytest.raises(ModelIncompleteError, match=r"model\.safetensors has "):
        check_model_folder(folder)


def test_a_cut_file_is_told_with_its_size_and_the_right_one(folder: Path) -> None:
    whole = shard(4096)
    (folder / "model.safetensors").write_bytes(whole[:-96])

    with pytest.raises(ModelIncompleteError) as caught:
        check_model_folder(folder)

    assert f"({len(whole) - 96:,} and {len(whole):,} bytes)" in caught.value.problem
    assert str(folder) in caught.value.problem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x02",
        b"version https://git-lfs.github.com/spec/v1\n",
        struct.pack("<Q", 2**63) + bytes(100),
        pack(b"not json"),
        pack(b"\xff\xfe\x00"),
        pack(b"[]"),
        pack(b'{"t": 1}'),
        pack(b'{"t": {}}'),
        pack(b'{"t": {"data_offsets": []}}'),
        pack(b'{"t": {"data_offsets": [0]}}'),
        pack(b'{"t": {"data_offsets": [0, "x"]}}'),
        pack(b'{"t": {"data_offsets": null}}'),
    ],
)
def test_what_is_not_safetensors_is_told(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)

    with pytest.raises(ModelIncompleteError, match=r"model\.safetensors has no safetensors header"):
        check_model_folder(folder)


def test_a_file_that_the_system_does_not_read_is_told(folder: Path) -> None:
    # Reading the first page of one's own memory fails with EIO, whoever one is.
    (folder / "model.safetensors").symlink_to("/proc/self/mem")

    with pytest.raises(ModelIncompleteError, match="cannot be read"):
        check_model_folder(folder)


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="missing does not exist"):
        check_model_folder(tmp_path / "missing")


def test_a_folder_without_config_is_no_model_folder(folder: Path) -> None:
    (folder / "config.json").unlink()

    with pytest.raises(ModelNotFoundError, match=r"config\.json cannot be read"):
        check_model_folder(folder)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "is not JSON"), ("[]", "is not a JSON object"), (b"\xff", "is not JSON")],
)
def test_a_config_that_is_no_json_object_is_told(
    folder: Path, content: str | bytes, complaint: str
) -> None:
    (folder / "config.json").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )

    with pytest.raises(ModelIncompleteError, match=rf"config\.json {complaint}"):
        check_model_folder(folder)


def test_a_missing_tokenizer_is_told(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()

    with pytest.raises(ModelIncompleteError, match=r"tokenizer\.json is missing"):
        check_model_folder(folder)


def test_missing_weights_are_told(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"pickle")

    with pytest.raises(ModelIncompleteError, match="no other format is served"):
        check_model_folder(folder)


@pytest.mark.parametrize("weight_map", [None, {}, [], "a.safetensors"])
def test_an_index_without_map_is_told(folder: Path, weight_map: object) -> None:
    index(folder, weight_map)

    with pytest.raises(ModelIncompleteError, match="has no weight_map"):
        check_model_folder(folder)


@pytest.mark.parametrize("name", [7, None, ["a"], {"a": 1}])
def test_an_index_that_names_no_files_is_told(folder: Path, name: object) -> None:
    index(folder, {"x": "a.safetensors", "y": name})

    with pytest.raises(ModelIncompleteError, match="names no files"):
        check_model_folder(folder)


@pytest.mark.parametrize("outside", ["../a.safetensors", "sub/a.safetensors", "/etc/passwd", "."])
def test_a_file_of_the_index_lies_in_the_folder_itself(folder: Path, outside: str) -> None:
    (folder / "sub").mkdir()
    for place in (folder.parent, folder / "sub"):
        (place / "a.safetensors").write_bytes(shard(1))
    index(folder, {"x": outside})

    with pytest.raises(ModelIncompleteError, match="is missing"):
        check_model_folder(folder)


def test_a_missing_file_of_the_index_is_told_by_name(folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(shard(1))
    index(folder, {"x": "a.safetensors", "y": "b.safetensors"})

    with pytest.raises(ModelIncompleteError, match=r"b\.safetensors is missing"):
        check_model_folder(folder)


def index(folder: Path, weight_map: object) -> None:
    (folder / INDEX_NAME).write_text(json.dumps({"weight_map": weight_map}))

"""The trained model's folder: what the export writes, as the embedded model's but for its size."""

import json
import struct
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file

from launcher import nano
from launcher.nano import tokens
from tools.nano import export
from tools.nano.folder import CHAT_TEMPLATE, model_path
from tools.nano.network import Nano
from tools.nano.vocabulary import VOCABULARY

FOLDER: Final = model_path()
CONFIGURATIONS: Final = ("config.json", "generation_config.json", "tokenizer_config.json")
WRITTEN: Final = (*CONFIGURATIONS, CHAT_TEMPLATE.name, "model.safetensors")
SIZE_LIMIT_BYTES: Final = 24_000_000


def header(folder: Path) -> dict[str, Any]:
    """Read the safetensors header, tensors by name: eight bytes of length, then JSON."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        value = json.loads(file.read(length))
    assert value.pop("__metadata__") == {"format": "pt"}
    assert isinstance(value, dict)
    return value


def test_names_shapes_and_types_are_the_embedded_models_but_for_the_vocabulary() -> None:
    expected = {
        name: (
            entry["dtype"],
            [VOCABULARY if size == tokens.VOCABULARY else size for size in entry["shape"]],
        )
        for name, entry in header(nano.model_path()).items()
    }
    written = {name: (entry["dtype"], entry["shape"]) for name, entry in header(FOLDER).items()}
    assert written == expected


def test_the_file_is_small() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size < SIZE_LIMIT_BYTES


def test_the_weights_are_finite() -> None:
    for name, tensor in load_file(FOLDER / "model.safetensors").items():
        assert torch.isfinite(tensor).all(), name


def test_the_configuration_differs_from_the_embedded_models_in_the_vocabulary_alone() -> None:
    trained, embedded = (
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for folder in (FOLDER, nano.model_path())
    )
    assert list(trained) == list(embedded)
    differing = {name for name, value in trained.items() if value != embedded[name]}
    assert differing == {"eos_token_id", "pad_token_id", "vocab_size"}


def test_an_export_is_a_whole_model_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export.export(Nano(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*WRITTEN, *export.COPIED}
    assert {path.name for path in FOLDER.iterdir()} == {*WRITTEN, *export.COPIED}
    for name in (*CONFIGURATIONS, CHAT_TEMPLATE.name, *export.COPIED):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
    assert header(tmp_path).keys() == header(FOLDER).keys()


def test_an_export_in_place_keeps_what_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in export.COPIED:
        (tmp_path / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(export, "model_path", lambda: tmp_path)
    export.export(Nano(), tmp_path)
    for name in export.COPIED:
        assert (tmp_path / name).read_text(encoding="utf-8") == name


def test_the_committed_weights_are_what_the_training_reads(tmp_path: Path) -> None:
    model = Nano()
    export.read_weights(model, FOLDER / "model.safetensors")
    export.write_weights(model, tmp_path / "model.safetensors")
    written = (tmp_path / "model.safetensors").read_bytes()
    assert written == (FOLDER / "model.safetensors").read_bytes()

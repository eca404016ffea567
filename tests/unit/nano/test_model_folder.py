"""The model folder: GLM-4.5's names and shapes, small, and what the export writes."""

import json
import math
import struct
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from safetensors.torch import load_file

from launcher.nano.folder import model_path
from tools.nano.model import export, shape
from tools.nano.model.network import Nano

FOLDER: Final = model_path()
CONFIG: Final[dict[str, Any]] = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
CONFIGURATIONS: Final = ("config.json", "generation_config.json", "tokenizer_config.json")
WRITTEN: Final = (*CONFIGURATIONS, "model.safetensors")
SIZE_LIMIT_BYTES: Final = 24_000_000


def header(folder: Path = FOLDER) -> dict[str, Any]:
    """Read the safetensors header, tensors by name: eight bytes of length, then JSON."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        value = json.loads(file.read(length))
    assert value.pop("__metadata__") == {"format": "pt"}
    assert isinstance(value, dict)
    return value


def expected_shapes() -> dict[str, list[int]]:
    """What a checkpoint with this `config.json` holds, as GLM checkpoints name them."""
    hidden, vocabulary = CONFIG["hidden_size"], CONFIG["vocab_size"]
    queries = CONFIG["num_attention_heads"] * CONFIG["head_dim"]
    keys = CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    layers, experts = CONFIG["num_hidden_layers"], CONFIG["n_routed_experts"]

    def gated(prefix: str, width: int) -> dict[str, list[int]]:
        return {
            f"{prefix}.gate_proj.weight": [width, hidden],
            f"{prefix}.up_proj.weight": [width, hidden],
            f"{prefix}.down_proj.weight": [hidden, width],
        }

    shapes = {
        "model.embed_tokens.weight": [vocabulary, hidden],
        "model.norm.weight": [hidden],
        "lm_head.weight": [vocabulary, hidden],
    }
    for layer in range(layers + CONFIG["num_nextn_predict_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": [hidden],
            f"{prefix}.post_attention_layernorm.weight": [hidden],
            f"{prefix}.self_attn.o_proj.weight": [hidden, queries],
        }
        for name, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            shapes[f"{prefix}.self_attn.{name}.weight"] = [rows, hidden]
            shapes[f"{prefix}.self_attn.{name}.bias"] = [rows]
        if layer < CONFIG["first_k_dense_replace"]:
            shapes |= gated(f"{prefix}.mlp", CONFIG["intermediate_size"])
            continue
        shapes[f"{prefix}.mlp.gate.weight"] = [experts, hidden]
        shapes[f"{prefix}.mlp.gate.e_score_correction_bias"] = [experts]
        for expert in (*(f"experts.{number}" for number in range(experts)), "shared_experts"):
            shapes |= gated(f"{prefix}.mlp.{expert}", CONFIG["moe_intermediate_size"])
    prefix = f"model.layers.{layers}"
    return shapes | {
        f"{prefix}.eh_proj.weight": [hidden, 2 * hidden],
        f"{prefix}.enorm.weight": [hidden],
        f"{prefix}.hnorm.weight": [hidden],
        f"{prefix}.shared_head.norm.weight": [hidden],
        f"{prefix}.embed_tokens.weight": [vocabulary, hidden],
        f"{prefix}.shared_head.head.weight": [vocabulary, hidden],
    }


def test_names_and_shapes_are_those_of_the_configuration() -> None:
    assert {name: entry["shape"] for name, entry in header().items()} == expected_shapes()


def test_all_is_bfloat16_but_the_router_correction() -> None:
    for name, entry in header().items():
        is_correction = name.endswith("e_score_correction_bias")
        assert entry["dtype"] == ("F32" if is_correction else "BF16"), name


def test_the_file_is_small() -> None:
    numbers = sum(math.prod(entry["shape"]) for entry in header().values())
    size_bytes = (FOLDER / "model.safetensors").stat().st_size
    assert 2 * numbers < size_bytes < SIZE_LIMIT_BYTES


@pytest.mark.parametrize("ranks", [1, 2])
def test_tensor_parallel_divides_all_that_it_splits(ranks: int) -> None:
    for name in (
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "moe_intermediate_size",
        "vocab_size",
    ):
        assert CONFIG[name] % ranks == 0, name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("architectures", ["Glm4MoeForCausalLM"]),
        ("model_type", "glm4_moe"),
        ("num_nextn_predict_layers", 1),
        ("first_k_dense_replace", 1),
        ("n_shared_experts", 1),
        ("n_group", 1),
        ("topk_group", 1),
        ("norm_topk_prob", True),
        ("partial_rotary_factor", 0.5),
        ("attention_bias", True),
        ("use_qk_norm", False),
        ("routed_scaling_factor", 1.0),
        ("tie_word_embeddings", False),
        ("hidden_act", "silu"),
        ("rms_norm_eps", 1e-5),
        ("rope_theta", 1000000),
    ],
)
def test_what_is_not_a_size_is_as_in_glm_4_5_air(field: str, value: object) -> None:
    assert CONFIG[field] == value


def test_the_weights_are_finite() -> None:
    for name, tensor in load_file(FOLDER / "model.safetensors").items():
        assert torch.isfinite(tensor).all(), name


def test_an_export_is_a_whole_model_folder(tmp_path: Path, made_folder: Path) -> None:
    torch.manual_seed(0)
    export.export(Nano(), made_folder / "tokenizer.json", tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {*WRITTEN, *export.COPIED, "tokenizer.json"}
    for name in export.COPIED:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
    tokenizer = (made_folder / "tokenizer.json").read_bytes()
    assert (tmp_path / "tokenizer.json").read_bytes() == tokenizer
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert shape.from_config(config) == shape.SHAPE
    assert config.keys() == CONFIG.keys()


def test_an_export_in_place_keeps_what_is_not_written(
    tmp_path: Path, made_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in export.COPIED:
        (tmp_path / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(export, "model_path", lambda: tmp_path)
    export.export(Nano(), made_folder / "tokenizer.json", tmp_path)
    for name in export.COPIED:
        assert (tmp_path / name).read_text(encoding="utf-8") == name


def test_the_committed_weights_are_what_the_training_reads(tmp_path: Path) -> None:
    model = Nano(shape.from_config(CONFIG))
    export.read_weights(model, FOLDER / "model.safetensors")
    export.write_weights(model, tmp_path / "model.safetensors")
    written = (tmp_path / "model.safetensors").read_bytes()
    assert written == (FOLDER / "model.safetensors").read_bytes()

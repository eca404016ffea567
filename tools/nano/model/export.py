"""Write the model folder from a checkpoint: `python -m tools.nano.model.export [--output DIR]`.

Without `--output` it writes into `launcher/nano`, where the files that are written by hand stay as
they are: the card and the chat template. The tokenizer comes from the training's folder.
Names and shapes are those of a GLM-4.5 checkpoint: the NextN layer stands behind the last
layer, with copies of embedding and head, which the server replaces by the main model's.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from launcher.nano.folder import model_path
from tools.nano.model import shape
from tools.nano.model.network import Gated, Layer, Mixture, Nano

COPIED: Final = ("MODEL_CARD.md", "chat_template.jinja")

Named = Iterator[tuple[str, Tensor]]


def tensors(model: Nano) -> Named:
    """Yield every tensor of the checkpoint under its name there."""
    yield "model.embed_tokens.weight", model.embedding
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, Layer)  # noqa: S101 - for mypy: a ModuleList forgets
        yield from _layer(f"model.layers.{number}", layer)
    yield "model.norm.weight", model.norm.weight
    yield "lm_head.weight", model.head

    nextn, prefix = model.nextn, f"model.layers.{model.shape.layers}"
    yield from _layer(prefix, nextn.layer)
    yield f"{prefix}.eh_proj.weight", nextn.join
    yield f"{prefix}.enorm.weight", nextn.embedding_norm.weight
    yield f"{prefix}.hnorm.weight", nextn.hidden_norm.weight
    yield f"{prefix}.shared_head.norm.weight", nextn.norm.weight
    yield f"{prefix}.embed_tokens.weight", model.embedding
    yield f"{prefix}.shared_head.head.weight", model.head


def _layer(prefix: str, layer: Layer) -> Named:
    yield f"{prefix}.input_layernorm.weight", layer.attention_norm.weight
    yield f"{prefix}.post_attention_layernorm.weight", layer.feed_norm.weight
    attention = layer.attention
    narrow = attention.shape.kv_heads * attention.shape.head_dim
    sizes = [attention.qkv.shape[0] - 2 * narrow, narrow, narrow]
    for name, weight, bias in zip(
        "qkv", attention.qkv.split(sizes), attention.bias.split(sizes), strict=True
    ):
        yield f"{prefix}.self_attn.{name}_proj.weight", weight
        yield f"{prefix}.self_attn.{name}_proj.bias", bias
    yield f"{prefix}.self_attn.o_proj.weight", attention.out
    if isinstance(layer.feed, Gated):
        yield from _gated(f"{prefix}.mlp", layer.feed.gate_up, layer.feed.down)
        return
    assert isinstance(layer.feed, Mixture)  # noqa: S101 - for mypy, as above
    yield f"{prefix}.mlp.gate.weight", layer.feed.router
    yield f"{prefix}.mlp.gate.e_score_correction_bias", layer.feed.correction
    for expert, both in enumerate(zip(layer.feed.gate_up, layer.feed.down, strict=True)):
        yield from _gated(f"{prefix}.mlp.experts.{expert}", *both)
    shared = layer.feed.shared
    yield from _gated(f"{prefix}.mlp.shared_experts", shared.gate_up, shared.down)


def _gated(prefix: str, gate_up: Tensor, down: Tensor) -> Named:
    gate, up = gate_up.chunk(2)
    yield f"{prefix}.gate_proj.weight", gate
    yield f"{prefix}.up_proj.weight", up
    yield f"{prefix}.down_proj.weight", down


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON as the hub's files are written."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_weights(model: Nano, path: Path) -> None:
    """Write the tensors in bfloat16, but for the router's correction, which GLM keeps in float32.

    A server that reads the file whole must never meet half of it: it is written
    beside its place and moved there.
    """
    state = {}
    for name, tensor in tensors(model):
        exact = name.endswith("e_score_correction_bias")
        kind = torch.float32 if exact else torch.bfloat16
        # Embedding and head stand in the file twice, as in GLM's checkpoints, and safetensors
        # refuses names that share storage.
        state[name] = tensor.detach().to(kind, copy=True).contiguous()
    partial = path.with_suffix(".partial")
    save_file(state, str(partial), metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors makes files that only their owner reads
    partial.replace(path)


@torch.no_grad()
def read_weights(model: Nano, path: Path) -> None:
    """Give a model the weights of a file that `write_weights` wrote."""
    state = load_file(path)
    for name, tensor in tensors(model):
        # A part of a parameter, so that to fill it is to fill that.
        tensor.copy_(state[name])


def export(model: Nano, tokenizer: Path, output: Path) -> None:
    """Write every file of the model folder.

    Args:
        model: the weights.
        tokenizer: the file that they were trained with.
        output: the folder, made if it does not exist.
    """
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "config.json", shape.config(model.shape))
    write_json(output / "generation_config.json", shape.generation_config())
    write_json(output / "tokenizer_config.json", shape.tokenizer_config(model.shape))
    write_weights(model, output / "model.safetensors")
    shutil.copyfile(tokenizer, output / "tokenizer.json")
    for name in COPIED:
        if output.resolve() != model_path():
            shutil.copyfile(model_path() / name, output / name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m tools.nano.model.export", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints"), metavar="DIR")
    parser.add_argument("--output", type=Path, default=model_path(), metavar="DIR")
    options = parser.parse_args(arguments)
    state = torch.load(options.folder / "checkpoint.pt", weights_only=True)
    model = Nano()
    model.load_state_dict(state["model"])
    export(model, options.folder / "tokenizer.json", options.output)


if __name__ == "__main__":
    main()

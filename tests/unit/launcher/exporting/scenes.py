"""The command `export`, called as people call it, and what its YAML holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from launcher.cli.service.export import export

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED = ("--preset", "glm-4.5-air-fp8", "--revision", COMMIT)
KINDS = ("kubernetes", "leaderworkerset", "compose", "skypilot")
# What a kind cannot do without.
NEEDED = {"leaderworkerset": ("--nnodes", "2", "--tp-size", "2"), "skypilot": ("--gpu", "H100")}


def run(kind: str, *arguments: str) -> Result:
    """Call the command; failures are raised."""
    words = [kind, *NEEDED.get(kind, ()), *arguments]
    return CliRunner().invoke(export, words, catch_exceptions=False)


def exported(kind: str, *arguments: str) -> str:
    """The manifest of a configuration that goes through."""
    done = run(kind, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def documents(kind: str, *arguments: str) -> list[dict[str, Any]]:
    return [dict(one) for one in yaml.safe_load_all(exported(kind, *arguments))]


def of_kind(found: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only document of a kind, or the first of several."""
    return next(one for one in found if one["kind"] == kind)


def server_container(template: dict[str, Any]) -> dict[str, Any]:
    (container,) = template["spec"]["containers"]
    return dict(container)


def cached_model(folder: Path, repository: str, commit: str, weights_bytes: int) -> None:
    """Put what the hub's cache has of a model into a folder: names and sizes, no weights."""
    place = folder / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit, encoding="utf-8")
    config = (
        '{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2, '
        '"num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 128, '
        '"vocab_size": 1000, "max_position_embeddings": 2048, "torch_dtype": "bfloat16", '
        '"tie_word_embeddings": false, "model_type": "llama"}'
    )
    (snapshot / "config.json").write_text(config, encoding="utf-8")
    index = f'{{"metadata": {{"total_size": {weights_bytes}}}, "weight_map": {{}}}}'
    (snapshot / "model.safetensors.index.json").write_text(index, encoding="utf-8")

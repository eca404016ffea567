"""Models for the hub of the tests: small files in the right formats."""

from __future__ import annotations

import json
import random
import struct


def safetensors(size_bytes: int, *, seed: int = 1) -> bytes:
    """A file of one tensor, about so large."""
    header = json.dumps(
        {"w": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}
    ).encode()
    content = random.Random(seed).randbytes(size_bytes)  # noqa: S311  # the same in each run
    return struct.pack("<Q", len(header)) + header + content


def model_files(*, shards: int = 3, shard_bytes: int = 300_000, seed: int = 0) -> dict[str, bytes]:
    """What a repository has: what serving needs, and what it must not get."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    weight_map = {f"layer.{number}": name for number, name in enumerate(names)}
    return {
        "README.md": b"# A model",
        ".gitattributes": b"*.safetensors filter=lfs",
        "config.json": json.dumps({"architectures": ["Glm4MoeForCausalLM"], "seed": seed}).encode(),
        "generation_config.json": b"{}",
        "model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode(),
        "tokenizer.json": json.dumps({"vocab": ["word" * 10] * 500}).encode(),
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "modeling_evil.py": b"import os",
        "pytorch_model.bin": b"pickle" * 100,
        "model-q4.gguf": b"GGUF",
        "consolidated.safetensors": safetensors(1000, seed=99),
        "original/params.json": b"{}",
        **{
            name: safetensors(shard_bytes, seed=100 * seed + number)
            for number, name in enumerate(names)
        },
    }


NEEDED = {
    *("config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json"),
    *("tokenizer_config.json", "chat_template.jinja"),
    *(f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)),
}

"""vLLM's command lines as people have them, said in fields. Pure.

Source: vLLM's documentation of `vllm serve` and of its engine arguments, version 0.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from launcher.config.arguments.foreign_launch import ForeignLaunch

DEFAULT_PORT: Final = 8000
# Without --host it listens on all addresses.
DEFAULT_HOST: Final = "0.0.0.0"  # noqa: S104  # what the definition means
_FIELDS: Final[Mapping[str, str]] = {
    "--model": "model_path", "--revision": "revision", "--host": "host", "--port": "port",
    "--tensor-parallel-size": "tp_size", "-tp": "tp_size",
    "--pipeline-parallel-size": "pp_size", "-pp": "pp_size",
    "--data-parallel-size": "dp_size", "-dp": "dp_size",
    "--max-model-len": "context_length", "--dtype": "dtype", "--quantization": "quantization",
    "-q": "quantization", "--kv-cache-dtype": "kv_cache_dtype",
    "--max-num-seqs": "max_running_requests", "--seed": "random_seed",
    "--tool-call-parser": "tool_call_parser", "--reasoning-parser": "reasoning_parser",
}  # fmt: skip
# The same thing under SGLang's names.
_ARGUMENTS: Final[Mapping[str, str]] = {
    "--tokenizer": "--tokenizer-path", "--chat-template": "--chat-template",
    "--download-dir": "--download-dir", "--load-format": "--load-format",
}  # fmt: skip
_SWITCHES: Final[Mapping[str, str]] = {
    "--enforce-eager": "--disable-cuda-graph",
    "--no-enable-prefix-caching": "--disable-radix-cache",
}
_DEFAULTS: Final = frozenset({"--enable-prefix-caching", "--enable-chunked-prefill",
    "--disable-log-requests", "--disable-log-stats", "--enable-auto-tool-choice",
    "--no-enable-log-requests", "--enable-reasoning"})  # fmt: skip
_OTHERWISE: Final[Mapping[str, str]] = {
    "--gpu-memory-utilization": "not the same share as mem_fraction_static: it counts what graphs "
    "and activations take, too; leave it unset, or see `python -m launcher plan`",
    "--speculative-config": "say it with speculative_algorithm and its fields",
    "--max-num-batched-tokens": "chunked_prefill_size is the nearest, and not the same",
    "--swap-space": "SGLang swaps nothing out",
    "--cpu-offload-gb": "SGLang's is --cpu-offload-gb as well, and was not compared",
}
# The same form under SGLang's name.
_PARSERS: Final[Mapping[str, str]] = {
    "hermes": "qwen25", "llama3_json": "llama3", "deepseek_v3": "deepseekv3",
    "deepseek_r1": "deepseek-r1", "openai": "gpt-oss", "openai_gptoss": "gpt-oss",
}  # fmt: skip
# What makes a server of another kind, or keeps its settings elsewhere.
_REFUSED: Final[Mapping[str, str]] = {
    "--task": "embeddings, scores and classes are no text",
    "--runner": "embeddings, scores and classes are no text",
    "--convert": "embeddings, scores and classes are no text",
    "--config": "settings stand in vLLM's own config file; give them as arguments",
    "--nnodes": "the model is served from several machines together",
    "--node-rank": "the model is served from several machines together",
    "--headless": "the model is served from several machines together",
}
_HARMLESS: Final = frozenset({"generate", "auto", "none", "1", "0"})
_NEGATIVE: Final = re.compile(r"-\d")
_KV_TYPES: Final[Mapping[str, str]] = {"fp8": "fp8_e4m3"}
_WORTHLESS: Final = frozenset({"--trust-remote-code", *_SWITCHES, *_DEFAULTS})
_UNITS: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


def read_launch(arguments: list[str]) -> ForeignLaunch:
    """Say a command line in fields.

    Args:
        arguments: behind `vllm serve`, or behind its API server's module, filled in.
    """
    made = ForeignLaunch()
    for name, values in _options(arguments):
        _take(made, name, values)
    typed = made.fields.get("model_path")
    made.fields.setdefault("served_model_name", typed)
    made.fields.setdefault("port", DEFAULT_PORT)
    made.fields.setdefault("host", DEFAULT_HOST)
    made.fields.setdefault("device", "cuda")
    return made


def _options(arguments: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option with the words behind it; '' for values that stand free."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            yield "", [word]
            continue
        name, equals, attached = word.partition("=")
        # `--max_model_len` is understood as well.
        name = name.replace("_", "-")
        values = [attached] if equals else []
        several = name in {"--served-model-name", "--api-key"}
        while rest and name not in _WORTHLESS:
            if rest[0].startswith("-") and not _NEGATIVE.match(rest[0]):
                break
            if values and not several:
                break
            values.append(rest.pop(0))
        yield name, values


def _take(made: ForeignLaunch, name: str, values: list[str]) -> None:
    value = values[0] if values else ""
    if name == "":
        if "model_path" in made.fields:
            made.dropped.append("a value that stands free, behind no option")
        else:
            made.take("model_path", value, "the model")
    elif name == "--api-key":
        made.dropped.append(
            "--api-key: a secret, not written; name a file of mode 0600 with api_key_file"
        )
    elif name == "--served-model-name":
        made.take("served_model_name", value, name)
        made.dropped += [f"{name} {other}: SGLang has one name" for other in values[1:]]
    elif name == "--trust-remote-code":
        made.take("trust_remote_code", value=True, spelled=name)
    elif name in _FIELDS and value:
        _take_field(made, name, value)
    elif name in _ARGUMENTS and value:
        made.extra += [_ARGUMENTS[name], value]
        made.taken.append(f"{name}: {_ARGUMENTS[name]}")
    elif name in _SWITCHES:
        made.extra.append(_SWITCHES[name])
        made.taken.append(f"{name}: {_SWITCHES[name]}")
    elif name in _DEFAULTS:
        made.dropped.append(f"{name}: SGLang does so without an option, or has no need of it")
    elif name in _REFUSED and value not in _HARMLESS:
        made.refused = made.refused or f"{name}: {_REFUSED[name]}"
    else:
        # Its value may be a secret.
        made.dropped.append(f"{name}: {_OTHERWISE.get(name, 'vLLM alone has it')}")


def _take_field(made: ForeignLaunch, name: str, value: str) -> None:
    field = _FIELDS[name]
    if field == "context_length":
        value = plain_count(value)
        if value == "":
            made.dropped.append(f"{name} auto: SGLang takes the model's own length")
            return
    elif field == "kv_cache_dtype":
        value = _KV_TYPES.get(value, value)
    elif field in {"tool_call_parser", "reasoning_parser"} and value in _PARSERS:
        made.dropped.append(f"{name} {value}: {_PARSERS[value]} reads the same form in SGLang")
        value = _PARSERS[value]
    made.take(field, value, name)


def plain_count(text: str) -> str:
    """A number of tokens as vLLM reads it: `32k` is 32,000, `32K` is 32,768; "" for `auto`."""
    if text in {"auto", "-1"}:
        return ""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG])", text)
    return text if found is None else str(int(float(found[1]) * _UNITS[found[2]]))

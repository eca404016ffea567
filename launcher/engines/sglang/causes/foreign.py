"""Logs of servers that somebody else started: their configuration, and advice in SGLang's words.

SGLang prints all of its arguments once, `server_args={'model_path': ...}`; older versions wrote
`ServerArgs(model_path='...', ...)`. Only what the causes of a failure look at is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from launcher.config.server_config import ServerConfig
from launcher.text import decimal_number, whole_number

_ARGUMENTS: Final = re.compile(r"\bserver_args=")
_LONGEST_ARGUMENTS_CHARACTERS: Final = 60_000
_VALUE: Final = (
    r"(?:'(?:[^'\\]|\\.){0,2000}'|\"(?:[^\"\\]|\\.){0,2000}\"|-?\d{1,18}(?:\.\d{1,18})?(?:e-?\d{1,3})?"
    r"|True|False|None)"
)
_WORDS: Final = {"True": True, "False": False, "None": None}
# Fields of our configuration that SGLang's arguments have by the same name.
_FIELDS: Final = (
    "model_path",
    "revision",
    "host",
    "port",
    *("tp_size", "pp_size", "dp_size", "enable_dp_attention", "ep_size"),
    *("nnodes", "node_rank", "dist_init_addr"),
    "dtype",
    "quantization",
    "attention_backend",
    "trust_remote_code",
    "kv_cache_dtype",
    "mem_fraction_static",
    "max_total_tokens",
    "max_running_requests",
    "context_length",
    "chunked_prefill_size",
    "speculative_algorithm",
    "speculative_draft_model_path",
    "speculative_num_steps",
    "speculative_eagle_topk",
    "speculative_num_draft_tokens",
)
# Others that causes ask for, behind `--`.
_OPTIONS: Final = (
    "base_gpu_id",
    "cuda_graph_max_bs",
    "cuda_graph_max_bs_decode",
    "hicache_ratio",
    "hicache_size",
    "load_format",
    "nccl_port",
    "page_size",
    "schedule_conservativeness",
    "watchdog_timeout",
    "mm_attention_backend",
    "moe_a2a_backend",
    "disaggregation_mode",
    "enable_hierarchical_cache",
    "enable_torch_compile",
    "enable_two_batch_overlap",
    "enable_mixed_chunk",
    "enable_eplb",
    "enable_lmcache",
    "enable_lora",
)
# What SGLang prints for an option that nobody gave.
_DEFAULTS: Final = {"none", "null", "auto"}
# The same, of fields that are unset in ours.
_AS_UNSET: Final[Mapping[str, Collection[object]]] = {
    **dict.fromkeys(("pp_size", "dp_size", "ep_size"), (1,)),
    **dict.fromkeys(("quantization", "attention_backend"), _DEFAULTS),
}
# "[2026-02-03 04:05:06 TP3]", "[... DP1 TP3 EP0]": a rank speaks.
_RANK: Final = re.compile(r"^\[[^\]]{0,60}\bTP(?P<rank>\d{1,3})\b")


def read_config(lines: Sequence[str]) -> ServerConfig:
    """What a server was started with, as far as its output tells.

    Without a line of arguments, the ranks that speak are counted, and SGLang's defaults assumed.
    """
    values = _arguments(lines)
    fields: dict[str, Any] = {
        name: values[name]
        for name in _FIELDS
        if values.get(name) is not None and values[name] not in _AS_UNSET.get(name, ())
    }
    ranks = [whole_number(found["rank"]) + 1 for line in lines if (found := _RANK.match(line))]
    fields.setdefault("tp_size", max(ranks, default=1))
    options = [
        part
        for name in _OPTIONS
        if (value := values.get(name)) not in (None, False, *_DEFAULTS)
        for part in _spelled(name, value)
    ]
    return _build(fields, tuple(options))


def _spelled(name: str, value: Any) -> tuple[str, ...]:
    flag = f"--{name.replace('_', '-')}"
    return (flag,) if value is True else (flag, str(value))


def _arguments(lines: Sequence[str]) -> dict[str, Any]:
    """The values of the last line of arguments, by name."""
    for line in reversed(lines):
        found = _ARGUMENTS.search(line)
        if found is not None:
            return _parse(line[found.end() : found.end() + _LONGEST_ARGUMENTS_CHARACTERS])
    return {}


def _parse(text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in (*_FIELDS, *_OPTIONS):
        found = re.search(rf"(?:'{name}': |\b{name}=)(?P<value>{_VALUE})(?=[,)}}])", text)
        if found is not None:
            values[name] = _read_value(found["value"])
    return values


def _read_value(text: str) -> Any:
    """A value as Python prints it: a string, a number, or a word; see `_VALUE`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return whole_number(text) if text.removeprefix("-").isdecimal() else decimal_number(text)


def _build(fields: dict[str, Any], options: tuple[str, ...]) -> ServerConfig:
    """The configuration, without those values that ours would not take."""
    known = {"model_path": "MODEL", "served_model_name": "model", "extra_args": options}
    known |= fields
    while True:
        try:
            return ServerConfig.model_validate(known)
        except ValidationError as error:
            wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
            # A rule over several fields names none: then speculation's figures are what clash.
            wrong = wrong or {name for name in known if name.startswith("speculative_")}
            wrong -= {"model_path", "served_model_name", "extra_args"}
            if not wrong & known.keys():
                return ServerConfig(model_path="MODEL", served_model_name="model")
            known = {name: value for name, value in known.items() if name not in wrong}


def in_own_words(text: str) -> str:
    """Advice for somebody who starts SGLang without this launcher.

    What stands behind `--` there is a plain flag here, and what the launcher adds is said in
    SGLang's terms.
    """
    text = re.sub(r"`-- (--[^`]*)`", r"`\1`", text)
    text = text.replace("what stands behind `--`", "the argument").replace(
        "`uv sync --reinstall-package sglang`", "`pip install --force-reinstall sglang`"
    )
    text = re.sub(
        r"`uv sync --reinstall-package ([\w.-]+)`", r"`pip install --force-reinstall \1`", text
    )
    text = text.replace("`uv pip ", "`pip ")
    text = re.sub(r"`?python -m launcher pull (\S+?)`", r"`hf download \1`", text)
    text = text.replace("--no-speculation", "no --speculative-algorithm")
    return re.sub(
        r"Stop it with `python -m launcher down`[^.]*\.",
        "Look who stopped it: `docker stop`, the service manager, or a person.",
        text,
    )

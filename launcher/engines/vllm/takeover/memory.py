"""What of a configuration decides vLLM's memory plan beside what all engines read alike. Pure.

Source: vllm 0.32.0, engine/arg_utils.py, envs.py, platforms/cpu.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from launcher.config.arguments.options import options_of
from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.engines.vllm.command import (
    CPU_KV_CACHE_BYTES,
    CPU_KV_VARIABLE,
    EAGER_FLAG,
    KV_BYTES_FLAG,
)
from launcher.engines.vllm.takeover.foreign_launch import plain_count
from launcher.memory.lines import Settings
from launcher.system.hardware import GIB
from launcher.text import whole_number

_BLOCK_FLAG: Final = "--block-size"
_STEP_FLAG: Final = "--max-num-batched-tokens"
_GRAPHS_VARIABLE: Final = "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS"
# Options after which a rank holds other weights or another KV cache -> values by which nothing
# changes.
_CHANGES_MEMORY: Final[Mapping[str, frozenset[str]]] = {
    "--cpu-offload-gb": frozenset({"0"}),
    "--offload-group-size": frozenset({"0"}),
    "--enable-lora": frozenset(),
    "--num-gpu-blocks-override": frozenset(),
    "--decode-context-parallel-size": frozenset({"1"}),
    "--prefill-context-parallel-size": frozenset({"1"}),
    "--enable-eplb": frozenset(),
    "--load-format": frozenset({"auto", "safetensors", "hf", "pt", "fastsafetensors", "dummy"}),
}


def memory_settings(config: ServerConfig, settings: Settings) -> Settings:
    """The settings of a memory plan, with what vLLM reads of the configuration in its own way.

    Args:
        config: what to serve.
        settings: what all engines read alike.
    """
    given = dict(options_of(config.extra_args))
    return replace(
        settings,
        mem_fraction_static=None,
        max_total_tokens=None,
        gpu_memory_utilization=config.gpu_memory_utilization,
        kv_cache_bytes=_kv_cache_bytes(config, given),
        kv_block_tokens=_number(given.get(_BLOCK_FLAG)),
        chunked_prefill_tokens=_number(given.get(_STEP_FLAG)),
        graphs=EAGER_FLAG not in given and config.variables.get(_GRAPHS_VARIABLE) != "0",
    )


def uncounted_option(config: ServerConfig, quantization: str | None) -> str | None:
    """See `Engine.uncounted_option`."""
    ranks = ranks_of(config)
    if config.quantization not in (None, quantization):
        return f"--quantization {config.quantization}"
    if ranks.replicas > 1 and ranks.expert_groups > 1:
        return f"--dp-size {ranks.replicas} --ep-size {ranks.expert_groups}"
    for flag, value in options_of(config.extra_args):
        if flag in _CHANGES_MEMORY and value not in _CHANGES_MEMORY[flag]:
            return f"-- {flag} {value}".strip()
    return None


def _kv_cache_bytes(config: ServerConfig, given: Mapping[str, str]) -> int | None:
    """The KV cache that is asked for; None where it is what is left.

    Of several, vLLM's variable is stronger than its flag on a CPU (platforms/cpu.py,
    `check_and_update_config`), and unknown elsewhere.
    """
    asked = _number(given.get(KV_BYTES_FLAG))
    if config.device != "cpu":
        return asked
    if (space := _number(config.variables.get(CPU_KV_VARIABLE))) is not None:
        return space * GIB
    if asked is None and config.gpu_memory_utilization is None:
        return CPU_KV_CACHE_BYTES
    return asked


def _number(text: str | None) -> int | None:
    plain = plain_count(text) if text else ""
    return whole_number(plain) if plain.isdecimal() else None

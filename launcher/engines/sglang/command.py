"""The exact command and environment of a server. Pure: no I/O, and never a key in argv."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from launcher.config.arguments.taken_over import raise_all
from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig, names_repository
from launcher.engines.common.flags import FlagTable, GivenOption
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.sglang.plugins.cpu import settings as cpu_settings
from launcher.engines.sglang.plugins.glm.settings import CALL_PARSERS, REASONING_PARSERS
from launcher.errors import ConfigError, SecretInArgumentsError
from launcher.names import (
    ANY_MODEL_NAME_VARIABLE,
    FREEZE_GC_VARIABLE,
    GLM_PARSERS_VARIABLE,
    REDACT_VARIABLE,
    SHARED_IMPORTS_VARIABLE,
)

MODULE: Final = "sglang.launch_server"

# Field of ServerConfig -> SGLang's flag, in the order in which people like to read them.
VALUE_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model_path": "--model-path",
        "revision": "--revision",
        "served_model_name": "--served-model-name",
        "host": "--host",
        "port": "--port",
        "device": "--device",
        "tp_size": "--tp-size",
        "pp_size": "--pp-size",
        "dp_size": "--dp-size",
        "ep_size": "--ep-size",
        "nnodes": "--nnodes",
        "node_rank": "--node-rank",
        "dist_init_addr": "--dist-init-addr",
        "dist_timeout_seconds": "--dist-timeout",
        "dtype": "--dtype",
        "quantization": "--quantization",
        "attention_backend": "--attention-backend",
        "kv_cache_dtype": "--kv-cache-dtype",
        "mem_fraction_static": "--mem-fraction-static",
        "max_total_tokens": "--max-total-tokens",
        "max_running_requests": "--max-running-requests",
        "context_length": "--context-length",
        "chunked_prefill_size": "--chunked-prefill-size",
        "speculative_algorithm": "--speculative-algorithm",
        "speculative_draft_model_path": "--speculative-draft-model-path",
        "speculative_num_steps": "--speculative-num-steps",
        "speculative_eagle_topk": "--speculative-eagle-topk",
        "speculative_num_draft_tokens": "--speculative-num-draft-tokens",
        "speculative_adaptive_config": "--speculative-adaptive-config",
        "tool_call_parser": "--tool-call-parser",
        "reasoning_parser": "--reasoning-parser",
        "random_seed": "--random-seed",
    }
)
SWITCH_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trust_remote_code": "--trust-remote-code",
        # Its successor, --attn-dp-size, is not in the versions before: srt/arg_groups/
        # parallel_hook.py of 0.5.23 makes the one of the other.
        "enable_dp_attention": "--enable-dp-attention",
        "speculative_adaptive": "--speculative-adaptive",
        "constrained_json_disable_any_whitespace": "--constrained-json-disable-any-whitespace",
        "enable_cache_report": "--enable-cache-report",
        "enable_metrics": "--enable-metrics",
    }
)
SECRET_FLAGS: Final = frozenset({"--api-key", "--admin-api-key", "--ssl-keyfile-password"})
# They say how several machines serve together.
NODE_FIELDS: Final = frozenset({"nnodes", "node_rank", "dist_init_addr", "dist_timeout_seconds"})
# With these there is no plain HTTP server that generates text, so nothing could tell when it is
# ready.
UNSUPERVISED_FLAGS: Final = frozenset(
    {
        *("--ssl-certfile", "--ssl-keyfile", "--grpc-mode", "--smg-grpc-mode", "--grpc-port"),
        *("--use-ray", "--encoder-only", "--is-embedding"),
        *("--skip-tokenizer-init", "--enable-ssl-refresh"),
        # It waits for a request to another port; it ends itself once it is ready.
        *("--gated-launch-port", "--debug-tensor-dump-input-file"),
    }
)
DISAGGREGATION_FLAG: Final = "--disaggregation-mode"
# They remove what is the user's own, or serve what he has not named.
HARMFUL_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # entrypoints/http_server.py, once it is ready: the folder of --model-path.
        "--delete-ckpt-after-loading": "removes the model's files once they are loaded: no restart "
        "would find them, nor anybody else",
        # weight_cache/protocol.py compares paths and shapes, and nothing of what is in the files.
        "--weight-cache-mode": "takes weights that are in memory, whatever the files hold by now",
    }
)
# SGLang checks no key at all with more than one of them (entrypoints/http_server.py: "only
# supported in single tokenizer mode"), puts the keys into shared memory, and loads no plugin there.
TOKENIZER_WORKERS_FLAG: Final = "--tokenizer-worker-num"
# SGLang reads keys from its own config file; the launcher writes that file, and only one is taken.
CONFIG_FLAG: Final = "--config"
SKIP_WARM_UP_FLAG: Final = "--skip-server-warmup"
# Source: sglang 0.5.23, srt/environ.py, `ToolStrictLevel.PARAMETER`.
TOOL_STRICT_VARIABLE: Final = "SGLANG_TOOL_STRICT_LEVEL"
STRICT_PARAMETERS: Final = "2"
# The address by which other machines reach this one, and the interface between them.
HOST_VARIABLE: Final = "SGLANG_HOST_IP"
INTERFACE_VARIABLES: Final = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")
_CREDENTIALS: Final = re.compile(r"://[^/\s@]*:[^/\s@]+@")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def build_command(
    config: ServerConfig, target: CommandTarget, *, upstream_cpu_kernels: bool = False
) -> Command:
    """Turn a configuration into the command that serves it.

    It may hold what SGLang refuses, or a key: see `check_arguments`.

    Args:
        config: what to serve.
        target: on what; its processors are divided among the ranks on a CPU, its PYTHONPATH is kept
            behind what the CPU engine puts there.
        upstream_cpu_kernels: SGLang's own CPU kernels are installed, so ours stay out.
    """
    arguments = [target.python, "-m", MODULE]
    if target.secrets_file is not None:
        arguments += [CONFIG_FLAG, str(target.secrets_file)]
    for field, flag in VALUE_FLAGS.items():
        value = getattr(config, field)
        if value is not None and _applies(config, field):
            arguments += [flag, str(value)]
    arguments += [
        flag
        for field, flag in SWITCH_FLAGS.items()
        if getattr(config, field) and _applies(config, field)
    ]

    # What the user gives comes first: the launcher's own, which it relies on, are put over it.
    environment = dict(config.variables)
    # At SIGABRT each process prints the stack of each thread: `launcher.system.members`,
    # `dump_stacks`. SGLang names its children by setproctitle, which writes over the beginning
    # of their environment, and so over what proves them ours, unless SPT_NOENV is set.
    environment |= {"PYTHONFAULTHANDLER": "1", "SPT_NOENV": "1"}
    if target.secrets_file is not None:
        environment[REDACT_VARIABLE] = "1"
    if target.no_proxy is not None:
        environment |= _round_proxies(config.host, target.no_proxy)
    if not config.is_repository and not any(map(names_repository, config.extra_args)):
        # Everything is here: a hub that is slow or away must not delay the start.
        environment.setdefault("HF_HUB_OFFLINE", "1")
    if target.gpus:
        # By name: CUDA counts in another order than the driver.
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in target.gpus)
    for variable, value in _between_nodes(target).items():
        environment.setdefault(variable, value)
    if config.device == "cpu":
        given = {word.partition("=")[0] for word in (*arguments, *config.extra_args)}
        arguments += _without(
            cpu_settings.server_arguments(adaptive=config.speculative_adaptive), given
        )
        environment |= cpu_settings.server_environment(
            target.cpus,
            ranks_of(config).count_here,
            own_kernels=not upstream_cpu_kernels,
            python_path=target.python_path,
        )
    environment |= _for_plugins(config, arguments)
    if config.shares_imports:
        environment[SHARED_IMPORTS_VARIABLE] = str(ranks_of(config).children)
        # Who asks CUDA itself for its devices can fork no process that uses them (torch/cuda).
        environment["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    return Command(tuple(arguments) + config.extra_args, MappingProxyType(environment))


def _between_nodes(target: CommandTarget) -> dict[str, str]:
    """The variables that name the network between machines; none for one alone.

    Gloo and NCCL choose an interface by themselves otherwise, and each may choose another.
    Source: sglang 0.5.23, srt/utils/network.py, `get_local_ip_auto`.
    """
    if target.network is None:
        return {}
    # NCCL takes a name for a beginning, eth1 for eth10 too, unless = stands before it.
    values = (f"={target.network.interface}", target.network.interface)
    interfaces = dict(zip(INTERFACE_VARIABLES, values, strict=True))
    return {HOST_VARIABLE: target.network.address, **interfaces}


def _for_plugins(config: ServerConfig, arguments: Sequence[str]) -> dict[str, str]:
    """The variables that switch our plugins on, in the server's own processes."""
    in_glms_format = (
        config.tool_call_parser in CALL_PARSERS or config.reasoning_parser in REASONING_PARSERS
    )
    strict = {TOOL_STRICT_VARIABLE: STRICT_PARAMETERS} if config.strict_tool_calls else {}
    switches = {
        GLM_PARSERS_VARIABLE: in_glms_format and config.glm_parsers == "specserve",
        ANY_MODEL_NAME_VARIABLE: config.any_model_name,
        FREEZE_GC_VARIABLE: SKIP_WARM_UP_FLAG in (*arguments, *config.extra_args),
    }
    return strict | {variable: "1" for variable, on in switches.items() if on}


def _round_proxies(host: str, given: str) -> dict[str, str]:
    """The variables by which requests to the server's own machine go round the caller's proxies.

    SGLang warms itself up over HTTP, by a library that takes a proxy from the environment
    (entrypoints/http_server.py, `_execute_server_warmup`); a proxy does not reach a loopback
    address, so the start would fail after minutes.
    """
    hosts = [entry for part in given.split(",") if (entry := part.strip())]
    own = [*_LOOPBACK, host]
    value = ",".join(dict.fromkeys((*hosts, *own)))
    # Libraries differ in which spelling they read first.
    return {"NO_PROXY": value, "no_proxy": value}


def check_arguments(command: Command, extra_args: tuple[str, ...], table: FlagTable) -> None:
    """Compare the whole command with the parser of the installed SGLang.

    Raises:
        UnknownFlagError: SGLang would refuse it.
        SecretInArgumentsError: `extra_args` holds a key.
        ConfigError: `extra_args` repeats what a field of the configuration sets, or makes a server
            that cannot be watched.
    """
    raise_all(refusals(extra_args, table))
    table.check(command.server_arguments)


def refusals(extra_args: Sequence[str], table: FlagTable) -> list[ConfigError]:
    """An error for each argument of the user's that is not passed on."""
    found = (_refusal(given, table) for given in table.split(extra_args))
    return [*(error for error in found if error is not None), *table.refusals(extra_args)]


def _refusal(given: GivenOption, table: FlagTable) -> ConfigError | None:
    """Why an option of the user's is not passed on, where it is not."""
    flag = given.option
    if flag is None:
        return None
    if flag in {table.canonical(one) for one in SECRET_FLAGS}:
        return SecretInArgumentsError(
            f"{flag} would show a secret in the process list.",
            action="Put the key in a file of mode 0600 and name it with --api-key-file.",
        )
    value = given.values[0] if given.values else ""
    problem, action = _unwatched(flag, value, table) or _harmful(flag, value) or ("", "")
    for field, own in (*VALUE_FLAGS.items(), *SWITCH_FLAGS.items()):
        if table.canonical(own) == flag:
            problem = f"{flag} after `--` repeats what the launcher sets itself."
            action = f"Use the launcher's own --{field.replace('_', '-')} before `--`."
            if len(given.values) != int(field in VALUE_FLAGS):
                wanted = "one value" if field in VALUE_FLAGS else "no value"
                problem = f"{flag} takes {wanted}, and {len(given.values)} were given."
                action = "Mend it."
    if any(_CREDENTIALS.search(value) for value in given.values):
        return SecretInArgumentsError(
            f"{flag} holds a password in a URL, which the process list would show.",
            action="Give a URL without one; many services read it from a variable or a file.",
        )
    return ConfigError(problem, action=action) if problem else None


def _unwatched(flag: str, value: str, table: FlagTable) -> tuple[str, str] | None:
    """What of an option makes a server that cannot be watched, and what to do; None if nothing."""
    if flag in {table.canonical(one) for one in UNSUPERVISED_FLAGS}:
        problem = (
            f"{flag} makes a server that the launcher cannot watch: it waits for text over "
            "plain HTTP."
        )
        return problem, "Leave it out; put a proxy before the server for TLS."
    if flag == DISAGGREGATION_FLAG and value != "null":
        problem = (
            f"{flag} {value}: prefill and decode run in servers of their own, and neither answers "
            "alone, so the launcher cannot tell whether they serve."
        )
        return problem, "Leave it out, or start such a pair by SGLang's own commands."
    return None


def _harmful(flag: str, value: str) -> tuple[str, str] | None:
    """What of an option does harm, and what to do instead; None if nothing."""
    if flag == CONFIG_FLAG:
        problem = f"{flag} after `--` is SGLang's own config file."
        return problem, "Give its settings as arguments, or the launcher's --config before `--`."
    if flag in HARMFUL_FLAGS:
        action = "Leave it out; `python -m launcher models rm` removes a model that is not served."
        return f"{flag} {HARMFUL_FLAGS[flag]}.", action
    if flag == TOKENIZER_WORKERS_FLAG and value not in {"", "1"}:
        problem = (
            f"{flag} {value}: with more than one tokenizer worker SGLang checks no API key, "
            "and answers and arguments go past this launcher's plugins."
        )
        action = "Leave it out; start another server, with a name and a port of its own."
        return problem, action
    return None


def _applies(config: ServerConfig, field: str) -> bool:
    if field in NODE_FIELDS:
        return config.nnodes > 1
    return config.speculative_algorithm is not None or not field.startswith("speculative_")


def _without(arguments: Sequence[str], given: set[str]) -> list[str]:
    """Drop flags, with their values, that were given already."""
    kept: list[str] = []
    dropping = False
    for argument in arguments:
        if argument.startswith("--"):
            dropping = argument in given
        if not dropping:
            kept.append(argument)
    return kept

"""Fields that vLLM's own arguments stand for, and arguments that are not passed on. Pure.

Source: vllm 0.32.0, entrypoints/launchers/cli_args.py, engine/arg_utils.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from launcher.config.arguments.options import OwnOption, TakenField, TakenOver
from launcher.config.arguments.taken_over import raise_all
from launcher.config.server_config import ServerConfig
from launcher.engines.common.fields import refuse_fields
from launcher.engines.common.flags import FlagTable, GivenOption
from launcher.engines.launch import Command
from launcher.engines.vllm.command import (
    SECRETS_FLAG,
    SHUTDOWN_FLAG,
    SWITCH_FLAGS,
    VALUE_FLAGS,
)
from launcher.engines.vllm.options.flags import plain_words
from launcher.engines.vllm.speculation import FLAG as SPECULATION_FLAG
from launcher.engines.vllm.speculation import fields_of, flaw_of_speculation
from launcher.engines.vllm.takeover.foreign_launch import plain_count
from launcher.errors import ConfigError, InvalidValueError, SecretInArgumentsError

_FLAGS: Final[Mapping[str, str]] = {
    **VALUE_FLAGS,
    **SWITCH_FLAGS,
    "drain_timeout_seconds": SHUTDOWN_FLAG,
}
_ONE_MACHINE: Final = "the launcher serves with vLLM from one machine."
# Fields that SGLang has and vLLM has not -> the nearest that it has.
LACKING: Final[Mapping[str, str]] = {
    "mem_fraction_static": "the nearest is gpu_memory_utilization, which counts what graphs and "
    "activations take, too.",
    "max_total_tokens": "the nearest is gpu_memory_utilization, or `-- --kv-cache-memory-bytes`.",
    "chunked_prefill_size": "the nearest is `-- --max-num-batched-tokens`.",
    "enable_dp_attention": "the nearest is dp_size with ep_size.",
    "any_model_name": "it answers to served_model_name alone.",
    "glm_parsers": "its own parsers read GLM-4.5's format: tool_call_parser, reasoning_parser.",
    "nnodes": _ONE_MACHINE,
    "node_rank": _ONE_MACHINE,
    "dist_init_addr": _ONE_MACHINE,
    "network_interface": _ONE_MACHINE,
    "speculative_adaptive": "it drafts a fixed number of tokens, speculative_num_steps.",
    "speculative_adaptive_config": "it drafts a fixed number of tokens, speculative_num_steps.",
    "shared_imports": "each of its processes imports by itself.",
    "stand_by": "a restart begins with the imports.",
}
SECRET_FLAGS: Final = frozenset({"--api-key", "--hf-token"})
# With these there is no plain HTTP server that generates text, or there is more than one machine.
UNSUPERVISED_FLAGS: Final = frozenset(
    {
        *("--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certs", "--enable-ssl-refresh", "--uds"),
        *("--headless", "--grpc", "--tokens-only", "--skip-tokenizer-init", "--nnodes"),
        *("--node-rank", "--data-parallel-external-lb", "--data-parallel-hybrid-lb"),
        *("--data-parallel-multi-port-external-lb", "--data-parallel-rank"),
        *("--data-parallel-start-rank", "--data-parallel-size-local", "--enable-elastic-ep"),
    }
)
# What they say of one machine, or of text, is vLLM's default.
_DEFAULTS: Final = frozenset(
    {("--nnodes", "1"), ("--node-rank", "0"), ("--runner", "auto"), ("--runner", "generate")}
    | {("--convert", "auto"), ("--convert", "none"), ("--api-server-count", "1")}
)
_OTHER_KINDS: Final = frozenset({"--runner", "--convert"})
# Further processes that answer HTTP know no key of ours: `specserve_vllm.guard`.
_SERVERS_FLAG: Final = "--api-server-count"
_CONFIG_FLAG: Final = "--config"
_CREDENTIALS: Final = re.compile(r"://[^/\s@]*:[^/\s@]+@")
_MOST_NEAR: Final = 3
_KV_CACHE_TYPES: Final[Mapping[str, str]] = {"fp8": "fp8_e4m3"}


def check_arguments(command: Command, config: ServerConfig, table: FlagTable) -> None:
    """Compare fields and the whole command with vLLM's own parser.

    Raises:
        InvalidValueError: a field has nothing in vLLM.
        UnknownFlagError: vLLM would refuse it.
        SecretInArgumentsError: `extra_args` holds a key.
        ConfigError: `extra_args` repeats what a field of the configuration sets, or makes a server
            that cannot be watched.
    """
    refuse_fields(config, "vLLM", LACKING)
    for flaw in (_flaw_of_experts(config), flaw_of_speculation(config)):
        if flaw is not None:
            problem, action = flaw
            raise InvalidValueError(f"{problem}.", action=action)
    raise_all(
        refusals(config.extra_args, table, speculates=config.speculative_algorithm is not None)
    )
    words = command.server_arguments
    # Our start module takes it away.
    table.check(words[2:] if words[:1] == (SECRETS_FLAG,) else words)


def _flaw_of_experts(config: ServerConfig) -> tuple[str, str] | None:
    """Why vLLM has no such expert parallelism: there it is on or off.

    Source: vllm 0.32.0, config/parallel.py: its size is that of all tensor and data parallel ranks.
    """
    size, ranks = config.ep_size or 1, config.tp_size * (config.dp_size or 1)
    if size in {1, ranks}:
        return None
    problem = (
        f"ep_size is {size}, and vLLM divides the experts among all {ranks} tensor and data "
        "parallel ranks or not at all"
    )
    return problem, f"Nearest: --ep-size {ranks}." if ranks > 1 else "Leave it out."


def take_over(arguments: Sequence[str], table: FlagTable) -> TakenOver:
    """Turn arguments into fields; what has no field, or lacks its value, stays as it is.

    Args:
        arguments: vLLM's, as users have them in their scripts.
        table: options of the version that is served with.
    """
    fields: list[TakenField] = []
    left: list[str] = []
    for given in table.split(plain_words(arguments)):
        taken = tuple(_taken(given, table))
        fields += taken
        if not taken:
            left += given.words
    return TakenOver(tuple(fields), tuple(left), tuple(refusals(left, table)))


def _taken(given: GivenOption, table: FlagTable) -> Iterator[TakenField]:
    if given.option == SPECULATION_FLAG and len(given.values) == 1:
        for name, value in fields_of(given.values[0]).items():
            yield TakenField(name, value, given.spelled)
        return
    field = field_of(given.option, table)
    if field is not None and field in SWITCH_FLAGS:
        if not given.values and not given.spelled.startswith("--no-"):
            yield TakenField(field, value=True, spelled=given.spelled)
    elif field is not None and len(given.values) == 1:
        yield TakenField(field, _value(field, given.values[0]), given.spelled)


def _value(field: str, value: str) -> str:
    if field == "kv_cache_dtype":
        return _KV_CACHE_TYPES.get(value, value)
    return plain_count(value) or value if field == "context_length" else value


def field_of(option: str | None, table: FlagTable) -> str | None:
    """The field whose flag an option is, by its first spelling; None where it has none."""
    if option is None:
        return None
    return next((field for field, flag in _FLAGS.items() if table.canonical(flag) == option), None)


def own_option(name: str, table: FlagTable) -> OwnOption | None:
    """What a name is among vLLM's options; see `Engine.own_option`."""
    option = table.canonical(f"--{name.lstrip('-').replace('_', '-')}")
    return None if option is None else OwnOption(option, field_of(option, table))


def near_options(name: str, table: FlagTable) -> tuple[str, ...]:
    """Options of vLLM's that are spelled like a name; see `Engine.near_options`."""
    return tuple(difflib.get_close_matches(name, sorted(table.names), n=_MOST_NEAR, cutoff=0.75))


def refusals(
    extra_args: Sequence[str], table: FlagTable, *, speculates: bool = False
) -> list[ConfigError]:
    """An error for each argument of the user's that is not passed on.

    Args:
        extra_args: what has no field.
        table: options of the version that is served with.
        speculates: fields say how to speculate.
    """
    found = (_refusal(given, table, speculates=speculates) for given in table.split(extra_args))
    return [*(error for error in found if error is not None), *table.refusals(extra_args)]


def _refusal(given: GivenOption, table: FlagTable, *, speculates: bool) -> ConfigError | None:
    flag, value = given.option, given.values[0] if given.values else ""
    if flag is None:
        return None
    if flag in SECRET_FLAGS:
        return SecretInArgumentsError(
            f"{flag} would show a secret in the process list.",
            action="Put the key in a file of mode 0600 and name it with --api-key-file; the hub's "
            "token belongs into HF_TOKEN.",
        )
    if any(_CREDENTIALS.search(one) for one in given.values):
        return SecretInArgumentsError(
            f"{flag} holds a password in a URL, which the process list would show.",
            action="Give a URL without one.",
        )
    if (field := field_of(flag, table)) is not None:
        return ConfigError(
            f"{flag} after `--` is what the launcher sets itself by {field}, and has one value.",
            action=f"Use the launcher's own --{field.replace('_', '-')} before `--`.",
        )
    if flag == SPECULATION_FLAG and speculates:
        return ConfigError(
            f"{flag} after `--` says how to speculate, and so do the fields speculative_*.",
            action="Keep one of both.",
        )
    return _unwatched(flag, value, given.spelled)


def _unwatched(flag: str, value: str, spelled: str) -> ConfigError | None:
    """Why an option makes a server that cannot be watched, where it does."""
    if (flag, value) in _DEFAULTS or spelled.startswith("--no-"):
        return None
    if flag in UNSUPERVISED_FLAGS or flag in _OTHER_KINDS:
        return ConfigError(
            f"{flag} makes a server that the launcher cannot watch: it waits for text over plain "
            "HTTP from one machine.",
            action="Leave it out; put a proxy before the server for TLS.",
        )
    if flag == _SERVERS_FLAG:
        return ConfigError(
            f"{flag} {value}: with more than one process that answers HTTP some routes would ask "
            "for no key.",
            action="Leave it out; start another server, with a name and a port of its own.",
        )
    if flag == _CONFIG_FLAG:
        return ConfigError(
            f"{flag} after `--` is vLLM's own config file.",
            action="Give its settings as arguments, or the launcher's --config before `--`.",
        )
    return None

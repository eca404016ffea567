"""What is exported and imported again is the same configuration."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.config.server_config import ServerConfig
from launcher.config.sources import resolve
from launcher.importing.recognise import choose, launches_of_file
from launcher.importing.translate import Imported, translate
from tests.unit.launcher.exporting.scenes import COMMIT, PINNED, exported

# Of how the launcher watches a server, a manifest has its own; a name is the cluster's.
NOT_SAID = frozenset({"preset", "name", "insecure", "restart"})
EVERYWHERE = "0.0.0.0"  # noqa: S104
KINDS = ("kubernetes", "compose", "skypilot")
CASES: dict[str, dict[str, Any]] = {
    "the preset": {},
    "plain decoding": {"speculative_algorithm": None},
    "many fields": {
        "tp_size": 4,
        "pp_size": 2,
        "ep_size": 2,
        "port": 9001,
        "dtype": "bfloat16",
        "kv_cache_dtype": "fp8_e4m3",
        "quantization": "fp8",
        "context_length": 32768,
        "chunked_prefill_size": -1,
        "max_running_requests": 12,
        "max_total_tokens": 100_000,
        "mem_fraction_static": 0.81,
        "random_seed": 7,
        "trust_remote_code": True,
        "served_model_name": "it's 'c' \"d\" % {e} #f: g",
    },
    "variables and arguments": {
        "environment": ("NCCL_DEBUG=INFO", "SGLANG_LOG_MS=true", "NCCL_NET=$(HOME) $X"),
        "extra_args": ("--schedule-policy", "lpm", "--log-level", "warning"),
    },
    "attention in groups": {"tp_size": 4, "dp_size": 2, "enable_dp_attention": True},
    "copies": {"tp_size": 2, "dp_size": 2},
}


def flags_of(fields: dict[str, Any]) -> list[str]:
    """A configuration's fields as one types them."""
    words: list[str] = []
    behind: list[str] = []
    for field, value in fields.items():
        flag = f"--{field.replace('_', '-')}"
        if field == "extra_args":
            behind = ["--", *value]
        elif field == "environment":
            words += [word for one in value for word in (flag, one)]
        elif value is None:
            words += ["--no-speculation"]
        elif isinstance(value, bool):
            words += [flag]
        else:
            words += [flag, str(value)]
    return [*words, *behind]


def back(text: str) -> Imported:
    return translate(*choose(launches_of_file(text, "made.yaml", {}, None), None))


def said(config: ServerConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=set(NOT_SAID))


def meant(fields: dict[str, Any], **more: Any) -> ServerConfig:
    flags = {"revision": COMMIT, **fields, **more}
    return resolve(preset="glm-4.5-air-fp8", flags=flags).config


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_configuration_comes_back(kind: str, case: str) -> None:
    fields = CASES[case]
    # A pod's port is everybody's; a compose file keeps the address.
    host = {} if kind == "compose" else {"host": EVERYWHERE}
    made = back(exported(kind, *PINNED, *flags_of(fields)))
    again = resolve(preset="custom", flags=dict(made.fields)).config
    assert said(again) == said(meant(fields, **host))


@pytest.mark.parametrize("restart", ["never", "on-failure", "always"])
def test_a_compose_file_keeps_the_restart_policy(restart: str) -> None:
    made = back(exported("compose", *PINNED, "--restart", restart))
    assert made.fields["restart"] == restart


@pytest.mark.parametrize("host", ["127.0.0.1", EVERYWHERE, "192.0.2.7"])
def test_a_compose_file_keeps_the_address(host: str) -> None:
    made = back(exported("compose", *PINNED, "--host", host, "--insecure"))
    assert made.fields["host"] == host


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_told_and_not_taken_over(kind: str) -> None:
    dropped = "\n".join(back(exported(kind, *PINNED)).dropped)
    assert "api_key_file and admin_key_file" in dropped
    assert "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION" not in dropped


@pytest.mark.parametrize("kind", ["kubernetes", "compose"])
def test_of_several_servers_one_comes_back(kind: str) -> None:
    found = launches_of_file(exported(kind, *PINNED, "--replicas", "2"), "made.yaml", {}, None)
    servers = {"kubernetes": ["server"], "compose": ["server-0", "server-1"]}[kind]
    assert [definition.name for _, definition in found] == servers
    for one in found:
        again = resolve(preset="custom", flags=dict(translate(*one).fields)).config
        assert again.model_path == "zai-org/GLM-4.5-Air-FP8"

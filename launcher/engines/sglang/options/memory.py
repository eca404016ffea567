"""Options of SGLang that change what its memory plan counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from launcher.config.ranks import given_options
from launcher.config.server_config import ServerConfig

# Options after which a rank holds other weights -> values by which nothing changes.
_CHANGES_WEIGHTS: Final[Mapping[str, frozenset[str]]] = {
    "--quantization": frozenset({"auto"}),
    "--cpu-offload-gb": frozenset({"0"}),
    "--torchao-config": frozenset(),
    "--enable-lora": frozenset(),
    "--lora-paths": frozenset(),
    "--dwdp-size": frozenset({"1"}),
}


def uncounted_option(config: ServerConfig, quantization: str | None) -> str | None:
    """See `launcher.engines.engine.ModelEngine.uncounted_option`."""
    for flag, value, written in given_options(config):
        if flag not in _CHANGES_WEIGHTS or value in _CHANGES_WEIGHTS[flag]:
            continue
        if flag == "--quantization" and value == quantization:
            continue
        return written
    return None

"""Which engine serves a configuration. The only place where engines are chosen."""

from __future__ import annotations

from collections.abc import Sequence

from launcher.config.server_config import ServerConfig
from launcher.engines.engine import Engine
from launcher.engines.sglang.engine import SGLANG


def engine_of(_config: ServerConfig) -> Engine:
    """The engine of a configuration: SGLang, as long as there is no other."""
    return SGLANG


def engine_of_output(_lines: Sequence[str]) -> Engine:
    """The engine that printed these lines: SGLang, as long as there is no other."""
    return SGLANG

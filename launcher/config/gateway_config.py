"""What a gateway is: one address in front of several servers of one model.

It is watched, logged and stopped as a server is, so its configuration is one of a server, with what
a gateway has besides. `parse_config` reads back either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from launcher.config.server_config import ServerConfig

# Those of smg 1.13.0 that need nothing but the servers' own answers.
Policy = Literal["cache_aware", "round_robin", "random", "power_of_two", "least_load"]


class GatewayConfig(ServerConfig):
    """One gateway: where it listens, and how it chooses among the servers of `discovery_file`."""

    gateway: Literal["smg"] = "smg"
    policy: Policy = Field(default="cache_aware", description="How a request's server is chosen.")
    metrics_port: int = Field(ge=1, le=65535, description="Port of the gateway's own metrics.")


def parse_config(fields: Mapping[str, Any]) -> ServerConfig:
    """A configuration from its own dump.

    Raises:
        ValidationError: pydantic's, where another version wrote it.
    """
    kind = GatewayConfig if "gateway" in fields else ServerConfig
    return kind.model_validate(fields)

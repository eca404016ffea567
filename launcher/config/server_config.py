"""What to serve and how: one frozen record, checked once.

Every field can be set by a preset, a config file, an environment variable (`SPECSERVE_` and the
field's name in capitals) and a flag; see `launcher.config.sources` for the order of strength.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from launcher.config.fields.served import ServedFields
from launcher.config.fields.together import (
    flaw_of_adaptive,
    flaw_of_groups,
    flaw_of_nodes,
    flaw_of_speculation,
)
from launcher.config.fields.variables import flaw_of_variables, variables_of

RestartPolicy = Literal["never", "on-failure", "always"]
REPOSITORY_PATTERN: Final = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"


class ServerConfig(ServedFields):
    """One server, completely described: what is served, and how it is watched."""

    start_timeout_seconds: float = Field(
        default=1800.0, gt=0, description="Time from start to the first token, at the most."
    )
    hang_timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        description="A start in which nothing moves for so long is taken for hung.",
    )
    drain_timeout_seconds: float = Field(
        default=30.0,
        ge=0,
        description="Time that requests in flight get to end when the server is stopped.",
    )
    stop_timeout_seconds: float = Field(
        default=30.0,
        ge=0,
        description="Time from the end of the drain to SIGKILL; SGLang needs up to 20 s of it.",
    )

    restart: RestartPolicy = Field(
        default="on-failure", description="When to start a server again that ended by itself."
    )
    restart_limit: int = Field(
        default=5, ge=1, description="Failures in a row after which it is given up."
    )
    restart_window_seconds: float = Field(
        default=600.0, ge=0, description="A run that serves for so long ends the row of failures."
    )
    restart_delay_seconds: float = Field(
        default=2.0,
        ge=0,
        description="Pause before a restart, doubled with each failure in a row; none before the "
        "first restart of a server that had served.",
    )
    restart_max_delay_seconds: float = Field(
        default=300.0, ge=0, description="The longest pause before a restart."
    )
    die_with_launcher: bool | None = Field(
        default=None,
        description="Whether SIGKILL of the launcher ends the server; unset: in the foreground.",
    )
    shared_imports: bool | None = Field(
        default=None,
        description="Whether the server's processes share one import of the engine; unset: on a "
        "CPU.",
    )
    stand_by: bool | None = Field(
        default=None,
        description="Whether a process that has imported the engine waits for a restart; unset: "
        "with shared imports, where 24 GiB of memory are available.",
    )
    core_dumps: bool = Field(
        default=False,
        description="Whether its processes may leave core dumps, which hold the keys.",
    )

    health_interval_seconds: float = Field(
        default=10.0, gt=0, description="Pause between two probes of a server that serves."
    )
    health_timeout_seconds: float = Field(
        default=21.0,
        gt=0,
        description="Time in which a probe has to generate a token; SGLang's own is 20 s.",
    )
    health_failures: int = Field(
        default=3, ge=1, description="Probes that fail in a row before the server is restarted."
    )

    acceptance_window_seconds: float = Field(
        default=300.0,
        ge=1,
        description="Time with requests over which the acceptance length is judged.",
    )
    acceptance_baseline_seconds: float = Field(
        default=3600.0,
        ge=1,
        description="Time with requests from which the usual acceptance length is learnt, where "
        "no benchmark tells it.",
    )

    discovery_file: Path | None = Field(
        default=None,
        description="File that names the servers of a gateway; this one stands there while READY.",
    )

    log_rotate_mib: int = Field(
        default=64, ge=1, description="Size at which the server's log begins a new file, in MiB."
    )
    log_keep_files: int = Field(default=5, ge=1, description="Older log files to keep.")

    @property
    def shares_imports(self) -> bool:
        """Whether the server's processes fork after one import."""
        if self.engine != "sglang":
            return False
        return self.device == "cpu" if self.shared_imports is None else self.shared_imports

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        flaws = (
            "stand_by needs shared_imports" if self.stand_by and not self.shares_imports else None,
            flaw_of_variables(self.environment, on_cpu=self.device == "cpu"),
            flaw_of_groups(self.tp_size, self.dp_size or 1) if self.enable_dp_attention else None,
            flaw_of_nodes(
                self.nnodes,
                self.node_rank,
                tensor=self.tp_size,
                pipeline=self.pp_size or 1,
                replicas=1 if self.enable_dp_attention else self.dp_size or 1,
            ),
            flaw_of_adaptive(
                self.speculative_algorithm,
                topk=self.speculative_eagle_topk,
                has_file=self.speculative_adaptive_config is not None,
                is_on=self.speculative_adaptive,
                groups=self.enable_dp_attention,
            ),
            flaw_of_speculation(
                self.speculative_algorithm,
                self.speculative_draft_model_path,
                steps=self.speculative_num_steps,
                topk=self.speculative_eagle_topk,
                draft_tokens=self.speculative_num_draft_tokens,
            ),
        )
        if (flaw := next(filter(None, flaws), None)) is not None:
            raise ValueError(flaw)
        return self

    @property
    def variables(self) -> Mapping[str, str]:
        """Those of `environment`, by name."""
        return variables_of(self.environment)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_follower(self) -> bool:
        """Whether it computes for another machine, which clients ask."""
        return self.node_rank > 0

    @property
    def join_seconds(self) -> float:
        """How long a start may wait for other machines."""
        return float(self.dist_timeout_seconds) if self.nnodes > 1 else 0.0

    @property
    def stop_seconds(self) -> float:
        """The longest time from SIGTERM to SIGKILL."""
        return self.drain_timeout_seconds + self.stop_timeout_seconds

    @property
    def base_url(self) -> str:
        """Where a client on this machine finds the server, without a path."""
        # A server on all interfaces is reached through loopback from here.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def is_repository(self) -> bool:
        """Whether `model_path` names a hub repository rather than a folder here.

        `launcher.config.sources.resolve` makes the path of a folder absolute.
        """
        return re.fullmatch(REPOSITORY_PATTERN, self.model_path) is not None

    @property
    def draft_repository(self) -> str | None:
        """The hub repository of the draft model, where it is one and is used."""
        draft = self.speculative_draft_model_path
        if self.speculative_algorithm is None or draft is None:
            return None
        return draft if re.fullmatch(REPOSITORY_PATTERN, draft) else None


def names_repository(word: str) -> bool:
    """Whether an argument, or what an equals sign attaches to it, is the id of a repository."""
    _, _, attached = word.partition("=")
    return any(re.fullmatch(REPOSITORY_PATTERN, one) for one in (word, attached))


def describe_speculation(config: ServerConfig) -> str:
    """Speculation as people write it: 'EAGLE 3/1/4' is steps, top-k, draft tokens."""
    if config.speculative_algorithm is None:
        return "off"
    numbers = (
        config.speculative_num_steps,
        config.speculative_eagle_topk,
        config.speculative_num_draft_tokens,
    )
    shown = "/".join("auto" if number is None else str(number) for number in numbers)
    adaptive = ", adaptive" if config.speculative_adaptive else ""
    return f"{config.speculative_algorithm} {shown}{adaptive}"

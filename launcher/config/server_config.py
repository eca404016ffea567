"""What to serve and how: one frozen record, checked once.

Every field can be set by a preset, a config file, an environment variable (`SPECSERVE_` and the
field's name in capitals) and a flag; see `launcher.config.sources` for the order of strength.
Names are SGLang's where the field becomes one of its flags.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from launcher.config.outside import flaw_of, flaw_of_kind, flaw_of_number
from launcher.names import SERVER_NAME_PATTERN

Device = Literal["cuda", "cpu"]
RestartPolicy = Literal["never", "on-failure", "always"]
Dtype = Literal["auto", "float32", "bfloat16", "float16", "float", "half"]
KvCacheDtype = Literal["auto", "bfloat16", "fp8_e4m3", "fp8_e5m2"]
REPOSITORY_PATTERN: Final = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"

SpeculativeAlgorithm = Literal[
    "EAGLE", "EAGLE3", "NEXTN", "STANDALONE", "NGRAM", "DFLASH", "DSPARK", "UNO", "FROZEN_KV_MTP"
]
# Those that draft step by step, so that steps, top-k and draft tokens belong together.
STEPWISE_ALGORITHMS: Final = frozenset({"EAGLE", "EAGLE3", "NEXTN", "STANDALONE"})


class ServerConfig(BaseModel):
    """One server, completely described. The description of each field is its help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    name: Annotated[str, Field(pattern=f"^{SERVER_NAME_PATTERN}$")] = Field(
        default="default", description="What this server is called; several live side by side."
    )
    preset: str = Field(
        default="custom", description="Starting values; unset: what suits this machine."
    )

    model_path: str = Field(min_length=1, description="Model folder, or a repository id.")
    revision: str | None = Field(default=None, description="Commit of the repository to serve.")
    verify_model: bool = Field(
        default=True,
        description="Hash each file of a model from the hub once; off: sizes only.",
    )
    served_model_name: str = Field(
        min_length=1, description="Name that clients ask for in `model`."
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    api_key_file: Path | None = Field(
        default=None,
        description="File that holds the key which clients must send; or LAUNCHER_API_KEY has it.",
    )
    admin_key_file: Path | None = Field(
        default=None,
        description="File that holds the key of the admin routes; unset: one is made.",
    )
    insecure: bool = Field(
        default=False, description="Let other machines reach the server without a key."
    )

    device: Device = Field(default="cuda", description="Where the model runs.")
    tp_size: int = Field(default=1, ge=1, le=64, description="Tensor parallel size, in ranks.")
    dtype: Dtype = Field(default="auto", description="Type of weights and activations.")
    kv_cache_dtype: KvCacheDtype | None = Field(
        default=None, description="Type of the KV cache; fp8_e4m3 halves it; unset: as `dtype`."
    )
    mem_fraction_static: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="Share of memory for weights and KV cache, 0 to 1.",
    )
    max_total_tokens: int | None = Field(
        default=None, ge=1, description="Size of the KV cache, in tokens; unset: what fits."
    )
    max_running_requests: int | None = Field(
        default=None, ge=1, description="Requests decoded at the same time."
    )
    context_length: int | None = Field(
        default=None, ge=1, description="Longest prompt and answer together, in tokens."
    )

    speculative_algorithm: SpeculativeAlgorithm | None = Field(
        default=None, description="Speculative decoding algorithm; unset: plain decoding."
    )
    speculative_draft_model_path: str | None = Field(
        default=None, description="Draft model; EAGLE uses the model's own NextN layer if unset."
    )
    speculative_num_steps: int | None = Field(
        default=None, ge=1, description="Draft steps before each verify."
    )
    speculative_eagle_topk: int | None = Field(
        default=None, ge=1, description="Branches kept at each draft step; 1 is a chain."
    )
    speculative_num_draft_tokens: int | None = Field(
        default=None, ge=1, description="Tokens that one verify checks."
    )

    tool_call_parser: str | None = Field(
        default=None, description="SGLang's parser for tool calls in the model's text."
    )
    reasoning_parser: str | None = Field(
        default=None, description="SGLang's parser for reasoning in the model's text."
    )
    glm_parsers: Literal["specserve", "sglang"] = Field(
        default="specserve",
        description="Whose parsers read GLM-4.5's format where a parser is glm45 or glm.",
    )
    any_model_name: bool = Field(
        default=False, description="Answer requests for a model that is not there, as SGLang does."
    )
    constrained_json_disable_any_whitespace: bool = Field(
        default=False, description="Hold JSON under a grammar to its shortest form."
    )
    enable_cache_report: bool = Field(
        default=False, description="Tell in each `usage` how many tokens the prefix cache gave."
    )
    enable_metrics: bool = Field(default=True, description="Serve Prometheus metrics.")
    random_seed: int | None = Field(default=None, ge=0, description="Seed for sampling.")
    extra_args: tuple[str, ...] = Field(
        default=(), description="Further arguments, passed to SGLang as they are."
    )

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

    log_rotate_mib: int = Field(
        default=64, ge=1, description="Size at which the server's log begins a new file, in MiB."
    )
    log_keep_files: int = Field(default=5, ge=1, description="Older log files to keep.")

    @field_validator("*", mode="before")
    @classmethod
    def _is_clean(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if (flaw := flaw_of(value) or flaw_of_kind(value, kind)) is not None:
            raise ValueError(flaw)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _is_bounded(cls, value: Any) -> Any:
        if (flaw := flaw_of_number(value)) is not None:
            raise ValueError(flaw)
        return value

    @field_validator("revision")
    @classmethod
    def _revision_is_one_token(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9._/-]+", value):
            raise ValueError("must be a commit, branch or tag name")
        return value

    @property
    def shares_imports(self) -> bool:
        """Whether the server's processes fork after one import."""
        return self.device == "cpu" if self.shared_imports is None else self.shared_imports

    @model_validator(mode="after")
    def _stands_by_with_shared_imports(self) -> Self:
        if self.stand_by and not self.shares_imports:
            raise ValueError("stand_by needs shared_imports")
        return self

    @model_validator(mode="after")
    def _speculation_is_consistent(self) -> Self:
        steps, topk, draft_tokens = (
            self.speculative_num_steps,
            self.speculative_eagle_topk,
            self.speculative_num_draft_tokens,
        )
        if self.speculative_algorithm is None:
            return self
        if self.speculative_algorithm == "STANDALONE" and not self.speculative_draft_model_path:
            raise ValueError("STANDALONE needs speculative_draft_model_path")
        if self.speculative_algorithm not in STEPWISE_ALGORITHMS:
            return self
        # SGLang chooses all three or none: arg_groups/speculative_hook.py. It counts the draft
        # tokens of a chain itself.
        together = [steps, topk] if topk == 1 else [steps, topk, draft_tokens]
        if any(number is None for number in together) and (steps or topk or draft_tokens):
            raise ValueError(
                "speculative_num_steps, speculative_eagle_topk and speculative_num_draft_tokens "
                f"are set together or not at all, and here they are {steps or 'unset'}, "
                f"{topk or 'unset'} and {draft_tokens or 'unset'}"
            )
        if steps is not None and topk == 1 and draft_tokens not in (None, steps + 1):
            raise ValueError(
                f"with speculative_eagle_topk 1 and speculative_num_steps {steps}, "
                f"speculative_num_draft_tokens must be {steps + 1}, not {draft_tokens}"
            )
        return self

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
    return f"{config.speculative_algorithm} {shown}"

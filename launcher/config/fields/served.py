"""The fields of a configuration that say what is served: most become flags of the engine.

`launcher.config.server_config.ServerConfig` adds how it is watched. Names are SGLang's where a
field becomes one of its flags; vLLM takes the same fields (`launcher.engines.vllm.command`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from launcher.config.fields.outside import flaw_of, flaw_of_kind, flaw_of_number
from launcher.config.fields.variables import entries_of
from launcher.names import SERVER_NAME_PATTERN

EngineName = Literal["sglang", "vllm"]
Device = Literal["cuda", "cpu"]
Dtype = Literal["auto", "float32", "bfloat16", "float16", "float", "half"]
# Source: sglang 0.5.23, srt/arg_groups/fields/model.py.
KvCacheDtype = Literal[
    "auto", "bf16", "bfloat16", "fp8_e4m3", "fp8_e5m2", "mxfp8", "nvfp4", "fp4_mx_block16"
]

SpeculativeAlgorithm = Literal[
    "EAGLE", "EAGLE3", "NEXTN", "STANDALONE", "NGRAM", "DFLASH", "DSPARK", "UNO", "FROZEN_KV_MTP"
]


class ServedFields(BaseModel):
    """What is served, where and how. The description of each field is its help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    name: Annotated[str, Field(pattern=f"^{SERVER_NAME_PATTERN}$")] = Field(
        default="default", description="What this server is called; several live side by side."
    )
    preset: str = Field(
        default="custom", description="Starting values; unset: what suits this machine."
    )

    engine: EngineName = Field(
        default="sglang", description="What serves the model; docs/vllm.md says what differs."
    )
    engine_python: Path | None = Field(
        default=None,
        description="Python of an environment that has the engine; unset: the installed one.",
    )
    model_path: str = Field(min_length=1, description="Model folder, or a repository id.")
    revision: str | None = Field(default=None, description="Commit of the repository to serve.")
    verify_model: bool = Field(
        default=True,
        description="Hash each file of a model from the hub once; off: sizes only.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code that comes with the model, with all that you may do here.",
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
    gpu_ids: str | None = Field(
        default=None,
        pattern=r"^(?:\d{1,3}|GPU-[0-9a-fA-F-]{1,64})(?:,(?:\d{1,3}|GPU-[0-9a-fA-F-]{1,64}))*$",
        description="GPUs to serve on, by number or UUID, parted by commas; unset: those with "
        "room.",
    )
    tp_size: int = Field(default=1, ge=1, le=64, description="Tensor parallel size, in ranks.")
    pp_size: int | None = Field(
        default=None, ge=1, le=64, description="Pipeline parallel size: stages of layers."
    )
    dp_size: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Data parallel size: copies of the model, each on GPUs of its own.",
    )
    enable_dp_attention: bool = Field(
        default=False,
        description="Data parallel in the attention alone: its groups share the tensor parallel "
        "ranks.",
    )
    ep_size: int | None = Field(
        default=None, ge=1, le=64, description="Expert parallel size: groups of whole experts."
    )
    nnodes: int = Field(
        default=1, ge=1, le=64, description="Machines that serve the model together."
    )
    node_rank: int = Field(
        default=0, ge=0, le=63, description="Number of this machine; clients ask number 0."
    )
    dist_init_addr: str | None = Field(
        default=None, description="HOST:PORT of machine 0, where the others join it."
    )
    dist_timeout_seconds: int = Field(
        default=600, ge=1, description="Time in which all machines have to join."
    )
    network_interface: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.@-]{1,15}$",
        description="Network interface to the other machines; unset: by the route to machine 0.",
    )
    dtype: Dtype = Field(default="auto", description="Type of weights and activations.")
    quantization: str | None = Field(
        default=None, description="Quantization of the weights; unset: the checkpoint's own."
    )
    attention_backend: str | None = Field(
        default=None, description="The engine's kernels for attention; unset: its own choice."
    )
    kv_cache_dtype: KvCacheDtype | None = Field(
        default=None, description="Type of the KV cache; fp8_e4m3 halves it; unset: as `dtype`."
    )
    mem_fraction_static: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="Share of memory for weights and KV cache, 0 to 1.",
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Share of memory for all that vLLM takes, 0 to 1; on a CPU of the host's.",
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
    chunked_prefill_size: int | None = Field(
        default=None,
        ge=-1,
        description="Tokens of a prompt computed at a time; -1: whole prompts.",
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

    speculative_adaptive: bool = Field(
        default=False,
        description="Let SGLang change the draft steps by what is accepted and how many requests "
        "run; EAGLE with top-k 1.",
    )
    speculative_adaptive_config: Path | None = Field(
        default=None,
        description="JSON file of the draft steps to choose from at each number of requests; "
        "unset: SGLang's own.",
    )

    tool_call_parser: str | None = Field(
        default=None, description="The engine's parser for tool calls in the model's text."
    )
    reasoning_parser: str | None = Field(
        default=None, description="The engine's parser for reasoning in the model's text."
    )
    glm_parsers: Literal["specserve", "sglang"] = Field(
        default="specserve",
        description="Whose parsers read GLM-4.5's format where a parser is glm45 or glm.",
    )
    strict_tool_calls: bool = Field(
        default=False,
        description="Hold calls of tools to their schemas by a grammar, as if each were strict.",
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
        default=(), description="Further arguments, passed to the engine as they are."
    )
    environment: tuple[str, ...] = Field(
        default=(), description="Variables of the server's processes, NAME=VALUE; no secrets."
    )

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

    @field_validator("environment", mode="before")
    @classmethod
    def _environment_is_text(cls, value: Any) -> Any:
        # Runs before `_is_clean`: of several for a field, the last one comes first.
        return entries_of(value)

    @field_validator("chunked_prefill_size")
    @classmethod
    def _prefills_something(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("must be 1 or more, or -1 for whole prompts")
        return value

    @field_validator("revision")
    @classmethod
    def _revision_is_one_token(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9._/-]+", value):
            raise ValueError("must be a commit, branch or tag name")
        return value

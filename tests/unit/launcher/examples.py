"""Configurations and records that the tests share."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from launcher.config.server_config import ServerConfig
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.system.process import ProcessIdentity

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-swordfish-0123456789abcdef"  # noqa: S105  # planted, to be looked for


def make_config(**fields: Any) -> ServerConfig:
    """The smallest configuration, with `fields` on top."""
    return ServerConfig.model_validate(
        {"model_path": "/models/tiny", "served_model_name": "tiny", **fields}
    )


def make_record(folder: Path, **fields: Any) -> RunRecord:
    """The record of a server whose supervisor is this process."""
    known: dict[str, Any] = {
        "name": "default",
        "run_id": "0123456789abcdef",
        "state": ServerState.STARTING,
        "detached": False,
        "base_url": "http://127.0.0.1:8000",
        "served_model_name": "tiny",
        "model_path": "/models/tiny",
        "api_key_file": None,
        "started_at": datetime(2026, 11, 23, 10, 30, 5, tzinfo=UTC),
        "supervisor": ProcessIdentity.of(os.getpid()),
        "command": ("python", "-m", "sglang.launch_server"),
        "environment": {"HF_HUB_OFFLINE": "1"},
        "versions": {"sglang": "0.5.23"},
        "config": make_config().model_dump(mode="json"),
        "log_file": folder / "server.log",
        "events_file": folder / "events.jsonl",
    }
    return RunRecord.model_validate(known | fields)


def dead_process() -> ProcessIdentity:
    """A process that was there, with a pid that lives: what a reused pid looks like."""
    own = ProcessIdentity.of(os.getpid())
    return own.model_copy(update={"start_ticks": own.start_ticks - 1})


WORDS = st.text("abcdefghij-_.0123456789", min_size=1, max_size=12)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of configurations that are valid."""
    count = st.integers(1, 100_000)
    fields: dict[str, Any] = {
        "name": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)),
        "model_path": draw(WORDS),
        "served_model_name": draw(WORDS),
        "port": draw(st.integers(1, 65535)),
        "tp_size": draw(st.integers(1, 64)),
        "device": draw(st.sampled_from(["cuda", "cpu"])),
        "dtype": draw(st.sampled_from(["auto", "float32", "bfloat16", "float16"])),
        "extra_args": draw(st.lists(WORDS, max_size=3)),
        "enable_metrics": draw(st.booleans()),
        "start_timeout_seconds": draw(st.floats(0.001, 1e6)),
        "stop_timeout_seconds": draw(st.floats(0, 1e6)),
        "mem_fraction_static": draw(st.none() | st.floats(0.01, 0.99)),
        "max_total_tokens": draw(st.none() | count),
        "context_length": draw(st.none() | count),
        "tool_call_parser": draw(st.none() | WORDS),
        "random_seed": draw(st.none() | st.integers(0, 2**31)),
        "api_key_file": draw(st.none() | st.just("/keys/a key")),
    }
    if draw(st.booleans()):
        steps, topk = draw(st.integers(1, 8)), draw(st.integers(1, 8))
        fields |= {
            "speculative_algorithm": draw(st.sampled_from(["EAGLE", "EAGLE3", "NEXTN"])),
            "speculative_num_steps": steps,
            "speculative_eagle_topk": topk,
            "speculative_num_draft_tokens": steps + 1 if topk == 1 else draw(st.integers(1, 64)),
        }
    return {key: value for key, value in fields.items() if value is not None}

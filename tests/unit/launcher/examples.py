"""Configurations and records that the tests share."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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

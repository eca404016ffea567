"""A run record as the launcher writes it, of a server that this process is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from clients import run_record_path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def process(pid: int | None = None, **changes: object) -> dict[str, Any]:
    """The identity of a living process, this one's if none is named."""
    pid = pid or os.getpid()
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return {"pid": pid, "start_ticks": int(stat[19]), "boot_id": _BOOT_ID, **changes}


def make_record(port: int = 8000, name: str = "default", **fields: object) -> dict[str, Any]:
    """The record of a server at a port, which this process is where `fields` does not say else."""
    keys = {key: fields.get(key) for key in ("api_key_file", "admin_key_file")}
    return {
        "schema_version": 1,
        "name": name,
        "run_id": "20261123-150200-ab12",
        "state": "READY",
        "base_url": f"http://127.0.0.1:{port}",
        "served_model_name": "glm-4.5-air",
        "server": process(),
        "supervisor": process(),
        "config": {"host": "127.0.0.1", "port": port, **keys},
        **keys,
        **fields,
    }


def write_record(record: dict[str, Any], folder: str | None = None) -> Path:
    """Write a record into its server's folder, or into that of another."""
    path = run_record_path(folder or record["name"])
    path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    path.chmod(0o600)
    return path


RECORD: dict[str, Any] = make_record()

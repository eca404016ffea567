"""A run record as the launcher writes it."""

from __future__ import annotations

from typing import Any

RECORD: dict[str, Any] = {
    "schema_version": 1,
    "name": "default",
    "run_id": "20261123-150200-ab12",
    "state": "READY",
    "base_url": "http://127.0.0.1:8000",
    "served_model_name": "glm-4.5-air",
    "api_key_file": None,
    "pid": 4242,
}

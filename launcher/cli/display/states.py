"""The colours in which people see a server's states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STATE_COLOURS: Final[Mapping[str, str]] = {
    "READY": "green",
    "STARTING": "yellow",
    "UNHEALTHY": "yellow",
    "BACKOFF": "yellow",
    "STOPPING": "yellow",
    "EXITED": "red",
    "FATAL": "red",
    "DEAD": "red",
    "ORPHANED": "red",
}

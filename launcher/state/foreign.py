"""A run record as it is read: what somebody else may have written, until it was checked.

It is held against types, ranges and lengths. What it says of processes is believed only as far as
the kernel confirms it; see `confirm`. It names no file to open and no command to run: those follow
from the server's name and configuration.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError
from pydantic_core import from_json

from launcher.errors import BrokenRecordError, StateError
from launcher.state.record import SCHEMA_VERSION, RunRecord, StandByRecord
from launcher.state.states import RUNNING_STATES
from launcher.system.locks import find_holder, has_open, is_locked
from launcher.system.members import find_members, is_exiting
from launcher.system.process import ProcessIdentity, command_line

# A real one has about 10 KiB, and 200 bytes more for each segment of shared memory.
LARGEST_RECORD_BYTES: Final = 1024**2
LONGEST_TEXT: Final = 65_536
MOST_ITEMS: Final = 4096
DEEPEST: Final = 8
LARGEST_NUMBER: Final = 1 << 62
# Linux gives no higher one: PID_MAX_LIMIT in include/linux/threads.h.
HIGHEST_PID: Final = 1 << 22
LONGEST_STOP_SECONDS: Final = 31 * 86400.0
_RUN_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BOOT_ID: Final = re.compile(r"[A-Za-z0-9._ -]{0,64}")
_COMMIT: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
# Of a boot that never was: whoever has it is nobody.
_NO_BOOT: Final = "unconfirmed"


def parse_record(content: bytes, name: str, file: Path) -> RunRecord:
    """A run record out of a file.

    Args:
        content: of the file.
        name: of the server in whose folder it lies.
        file: where, for the message.

    Raises:
        BrokenRecordError: it is none, or says what cannot be.
        StateError: another version of this project wrote it.
    """
    try:
        # The parser has a limit of its own to the depth, and says so by a ValueError.
        fields = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise _broken(file, f"it is no JSON ({str(error)[:80]})") from error
    if not isinstance(fields, dict):
        raise _broken(file, "it is no JSON object")
    version = fields.get("schema_version", SCHEMA_VERSION)
    if type(version) is int and version != SCHEMA_VERSION and 0 < version < 1000:
        raise StateError(
            f"{file} is not a run record of version {SCHEMA_VERSION}, but of {version}.",
            action="Stop that server with the version that started it, or remove the file.",
        )
    if (oversized := _oversized(fields)) is not None:
        raise _broken(file, oversized)
    try:
        # Strictly: a truth value is no number, and a number no text.
        record = RunRecord.model_validate_json(content, strict=True)
    except ValidationError as error:
        wrong = sorted({str(part["loc"][0]) for part in error.errors() if part["loc"]})
        raise _broken(file, f"{', '.join(wrong[:5]) or 'something'} cannot be read") from error
    if (impossible := _impossible(record, name)) is not None:
        raise _broken(file, f"its {impossible} cannot be true")
    return record


def confirm(record: RunRecord, lock_file: Path, log_file: Path) -> RunRecord:
    """The record with those processes only that are what it says.

    A supervisor holds the lock of its server's name; the server, or one in its session, has the
    run id in its environment; a collector is one by its command line. Others of the same numbers
    are neither waited for nor signalled. A lock that is held by nobody who can be seen here says
    that the supervisor runs elsewhere.
    """
    changes: dict[str, object] = {}
    if record.elsewhere is not None or record.unwritten_since is not None:
        # Not the file's to say.
        changes |= {"elsewhere": None, "unwritten_since": None}
    if record.collector is not None and not _is_collector(record.collector, log_file):
        changes["collector"] = None
    stand_by = record.stand_by
    if stand_by is not None and _is_disproved(stand_by.process, stand_by.run_id):
        changes["stand_by"] = None
    if record.supervisor.is_alive():
        if _holds(record.supervisor, lock_file):
            return record.model_copy(update=changes) if changes else record
        changes["supervisor"] = record.supervisor.model_copy(update={"boot_id": _NO_BOOT})
    if record.state in RUNNING_STATES:
        # Nobody of that pid and start, and yet somebody holds the lock. One that was just killed
        # shows its files no more, and holds the lock until its last thread has ended.
        holder = find_holder(lock_file)
        if holder is not None and not holder.is_here and not _is_ending(record.supervisor):
            return record.model_copy(update=changes | {"elsewhere": holder.where})
    if record.server is not None and _is_disproved(record.server, record.run_id):
        changes["server"] = None
    return record.model_copy(update=changes) if changes else record


def _is_disproved(process: ProcessIdentity, run_id: str) -> bool:
    """Whether a process lives and is none of a run."""
    return (
        process.is_alive()
        and process not in find_members(process, run_id)
        # Asked last: one that ends has nothing left to prove itself by.
        and not is_exiting(process)
    )


def _is_ending(process: ProcessIdentity) -> bool:
    return process.is_unreaped() and (not process.is_alive() or is_exiting(process))


def _holds(supervisor: ProcessIdentity, lock_file: Path) -> bool:
    opened = has_open(supervisor.pid, lock_file)
    # A supervisor may have closed itself to the eyes of others.
    return is_locked(lock_file) if opened is None else opened


def _is_collector(collector: ProcessIdentity, log_file: Path) -> bool:
    if not collector.is_alive():
        return True
    words = command_line(collector.pid)
    is_one = str(log_file.absolute()) in words and any(
        word.endswith("collector.py") for word in words
    )
    # Asked last: one that ends has no command line left.
    return is_one or is_exiting(collector)


def _broken(file: Path, why: str) -> BrokenRecordError:
    return BrokenRecordError(
        f"{file} is not a run record of version {SCHEMA_VERSION}: {why}.",
        action="`python -m launcher up` or `down` with that --name sets it aside. A server that "
        "still runs under it keeps its port: `ss -ltnp` shows it.",
    )


def _oversized(value: Any, depth: int = 0) -> str | None:
    """What is larger than in any record, in words."""
    if depth > DEEPEST:
        return f"it is nested more than {DEEPEST} levels deep"
    if isinstance(value, str):
        fits = len(value) <= LONGEST_TEXT
        return None if fits else f"a text is longer than {LONGEST_TEXT} characters"
    if isinstance(value, int | float):
        # False for what is not a number, too.
        fits = abs(value) <= LARGEST_NUMBER
        return None if fits else "a number is larger than any that is counted here"
    if not isinstance(value, dict | list):
        return None
    if len(value) > MOST_ITEMS:
        return f"it has a list of more than {MOST_ITEMS} items"
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return next((found for part in parts if (found := _oversized(part, depth + 1))), None)


def _impossible(record: RunRecord, name: str) -> str | None:
    """The first field that no record of this server can have so."""
    counts = {
        "restarts": record.restarts,
        "dropped_lines": record.dropped_lines,
        "ready_seconds": record.ready_seconds,
        "context_length_tokens": record.context_length_tokens,
        "kv_cache_tokens": record.kv_cache_tokens,
        "max_running_requests": record.max_running_requests,
    }
    possible = {
        "name": record.name == name,
        "run_id": _RUN_ID.fullmatch(record.run_id) is not None,
        "base_url": _is_base_url(record.base_url),
        "started_at": _is_time(record.started_at),
        "next_start_at": record.next_start_at is None or _is_time(record.next_start_at),
        "last_failure_at": record.last_failure_at is None or _is_time(record.last_failure_at),
        "config": _is_config(record.config),
        "model_commit": record.model_commit is None
        or _COMMIT.fullmatch(record.model_commit) is not None,
        "supervisor": _is_process(record.supervisor),
        "server": record.server is None or _is_process(record.server),
        "collector": record.collector is None or _is_process(record.collector),
        "stand_by": record.stand_by is None or _is_stand_by(record.stand_by),
        **{field: count is None or count >= 0 for field, count in counts.items()},
    }
    return next((field for field, is_possible in possible.items() if not is_possible), None)


def _is_process(process: ProcessIdentity) -> bool:
    return (
        0 < process.pid <= HIGHEST_PID
        and process.start_ticks >= 0
        and _BOOT_ID.fullmatch(process.boot_id) is not None
    )


def _is_stand_by(stand_by: StandByRecord) -> bool:
    return (
        _is_process(stand_by.process)
        and _RUN_ID.fullmatch(stand_by.run_id) is not None
        and (stand_by.memory_bytes is None or stand_by.memory_bytes >= 0)
    )


def _is_config(config: dict[str, Any]) -> bool:
    """Whether a server can be stopped by it; the rest may be another version's."""
    host, port, device = config.get("host"), config.get("port"), config.get("device", "")
    times: tuple[Any, ...] = (
        config.get("drain_timeout_seconds", 0),
        config.get("stop_timeout_seconds"),
    )
    return (
        isinstance(host, str)
        and 0 < len(host) <= 255  # a name of the DNS has no more
        and type(port) is int
        and 0 < port < 1 << 16
        and isinstance(device, str)
        and all(type(time) in {int, float} and 0 <= time <= LONGEST_STOP_SECONDS for time in times)
    )


def _is_time(moment: datetime) -> bool:
    return moment.tzinfo is not None and _EARLIEST <= moment <= _LATEST


def _is_base_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= 300
    bare = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    return plain and bare and parts.scheme in {"http", "https"} and bool(parts.hostname and port)

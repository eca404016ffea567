"""What can stand where a file of ours should: generated, not thought up one by one."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import dead_process, make_config

SEED: Final = 20261129
NOBODY: Final = 65534
OURS: Final = -1
# Of pairs of files that are both wrong.
PAIRS_PER_COMMAND: Final = 40

FILES: Final = (
    "run.json",
    "events.jsonl",
    "server.log",
    "server.log.1",
    "supervisor.log",
    "secrets.yaml",
    "admin.key",
    "lock",
    # The server's folder, and the folder of all servers.
    ".",
    "..",
)
KINDS: Final = (
    "missing",
    "regular",
    "link inside",
    "link outside",
    "dangling link",
    "link to itself",
    "pipe",
    "folder",
    "full folder",
    "socket",
    "device",
)
MODES: Final = (0o600, 0o620, 0o602, 0o666, 0o000)
COMMANDS: Final = {
    "status": ["status"],
    "status --json": ["status", "--json"],
    "status --name": ["status", "--name", "default"],
    "down": ["down"],
    "down --all --json": ["down", "--all", "--json"],
    "restart": ["restart"],
    "logs": ["logs"],
    "logs --events": ["logs", "--events", "-n", "5"],
    "logs --since": ["logs", "--since", "1h"],
    "up": ["up", "--model-path", "/no/such/model", "--device", "cpu"],
    "up --detach --json": ["up", "-d", "--json", "--model-path", "/no/such/model"],
    "client": ["client"],
}
# They look at the whole machine before they give up: a tenth of a second.
SLOW: Final = frozenset({"restart", "up", "up --detach --json"})


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one file."""

    file: str
    kind: str = "regular"
    owner: int = OURS
    mode: int | None = None
    content: str = "right"


@dataclass(frozen=True, slots=True)
class Case:
    """A command, and what it meets."""

    command: str
    wrongs: tuple[Wrong, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What files hold, by a word. `bystander` is a process that is none of the server's."""

    folder: str
    outside: str
    bystander: ProcessIdentity
    _made: dict[str, bytes] = field(default_factory=dict)

    def of(self, wrong: Wrong) -> bytes:
        """The bytes of a file."""
        if wrong.content in GENERAL:
            return GENERAL[wrong.content](self.right(wrong.file))
        return self.record(**RECORDS[wrong.content](self))

    def right(self, file: str) -> bytes:
        """What the launcher would have written there."""
        match file:
            case "run.json":
                return self.record()
            case "events.jsonl":
                return _EVENTS
            case "server.log" | "server.log.1":
                return b"[2026-11-23 15:14:20] Load weight begin.\nplain\n"
            case "secrets.yaml":
                return b'{"api-key": "0123456789abcdef"}\n'
            case "admin.key":
                return b"0123456789abcdef0123456789abcdef\n"
        return b""

    def record(self, **changes: Any) -> bytes:
        """A record of a server that is dead, as is its supervisor, with some fields changed."""
        known = {
            "schema_version": 1,
            "name": "default",
            "run_id": "0123456789abcdef",
            "state": "READY",
            "detached": True,
            "base_url": "http://127.0.0.1:9",
            "served_model_name": "tiny",
            "model_path": "/no/such/model",
            "api_key_file": None,
            "started_at": "2026-11-23T10:30:05Z",
            "supervisor": dead_process().model_dump(),
            "server": dead_process().model_dump(),
            "command": ["touch", f"{self.outside}/made"],
            "environment": {"HF_HUB_OFFLINE": "1"},
            "versions": {"sglang": "0.5.23"},
            "config": make_config(
                model_path="/no/such/model", device="cpu", port=9
            ).model_dump(mode="json"),
            "log_file": f"{self.folder}/server.log",
            "events_file": f"{self.folder}/events.jsonl",
        }  # fmt: skip
        return json.dumps(known | changes).encode()


_EVENTS: Final = (
    b'{"event": "server.state", "run_id": "0123456789abcdef", "elapsed_seconds": 0.5, '
    b'"at": "2026-11-23T10:30:05.000+00:00", "state": "STARTING"}\n'
)
_ESCAPES: Final = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\u2028line\r\x00"

# Of every file.
GENERAL: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "right": lambda right: right,
    "empty": lambda _: b"",
    "cut": lambda right: right[: len(right) // 2],
    "huge": lambda right: right + b" " * 3_000_000 + b"x",
    "long line": lambda right: right + b"x" * 3_000_000,
    "deep": lambda _: b"[" * 100_000,
    "deep object": lambda _: b'{"event":' * 50_000,
    "nul": lambda _: b"\0" * 4096,
    "binary": lambda _: random.Random(SEED).randbytes(4096),  # noqa: S311  # no secret
    "number": lambda _: b"1e999999",
    "list": lambda _: b"[1, 2]",
    "null": lambda _: b"null\n",
    "escapes": lambda _: _ESCAPES.encode() + b"\n",
    "an event of wrong types": lambda _: _EVENTS.replace(b"0.5", b'"\\u001b[2J"'),
    "an event without a time": lambda _: b'{"event": "server.ready", "at": 5}\n',
}
# Of a record: what is changed in one that would be right.
RECORDS: Final[Mapping[str, Callable[[Contents], dict[str, Any]]]] = {
    "a bystander supervises": lambda c: {"supervisor": c.bystander.model_dump()},
    "a bystander serves": lambda c: {"server": c.bystander.model_dump()},
    "a bystander collects": lambda c: {"collector": c.bystander.model_dump()},
    "a bystander is everything": lambda c: {
        "supervisor": c.bystander.model_dump(),
        "server": c.bystander.model_dump(),
        "collector": c.bystander.model_dump(),
    },
    "a bystander was given up": lambda c: {"state": "FATAL", "server": c.bystander.model_dump()},
    "a bystander stops": lambda c: {
        "state": "STOPPING",
        "restarting": True,
        "supervisor": c.bystander.model_dump(),
    },
    "another's log": lambda c: {"log_file": f"{c.outside}/file", "events_file": "/dev/zero"},
    "a log that never ends": lambda _: {"log_file": "/dev/zero"},
    "a key of another's": lambda c: {"api_key_file": "/dev/zero", "admin_key_file": c.outside},
    "another name": lambda _: {"name": "other"},
    "a name with escapes": lambda _: {"name": _ESCAPES},
    "escapes everywhere": lambda _: {
        "served_model_name": _ESCAPES,
        "last_failure": f"[/b]{_ESCAPES}",
        "state": "BACKOFF",
        "restarts": 3,
    },
    "half a surrogate": lambda _: {"served_model_name": "\udc80", "restarts": 1},
    "true for a number": lambda _: {"restarts": True},
    "text for a number": lambda _: {"restarts": "3"},
    "true for a pid": lambda _: {"supervisor": {"pid": True, "start_ticks": 1, "boot_id": ""}},
    "pid 0": lambda _: {"server": dead_process().model_dump() | {"pid": 0}},
    "pid -1": lambda _: {"server": dead_process().model_dump() | {"pid": -1}},
    "pid 2**70": lambda _: {"supervisor": dead_process().model_dump() | {"pid": 1 << 70}},
    "port 0": lambda _: {"base_url": "http://127.0.0.1:0"},
    "port 99999": lambda _: {"base_url": "http://127.0.0.1:99999"},
    "no URL": lambda _: {"base_url": "file:///etc/passwd"},
    "a URL with a key": lambda _: {"base_url": "http://user:word@127.0.0.1:9/path?x#y"},
    "a URL with a line break": lambda _: {"base_url": "http://127.0.0.1:9\r\nHost: x"},
    "the year 1": lambda _: {"started_at": "0001-01-01T00:00:00"},
    "the year 9999": lambda _: {"started_at": "9999-12-31T23:59:59Z"},
    "no zone": lambda _: {"started_at": "2026-11-23T10:30:05"},
    "not a number": lambda _: {"ready_seconds": float("nan")},
    "less than nothing": lambda _: {"restarts": -1, "ready_seconds": -5},
    "no configuration": lambda _: {"config": {}},
    "a configuration of lists": lambda _: {"config": {"port": [1], "stop_timeout_seconds": []}},
    "a stop without end": lambda c: {
        "supervisor": c.bystander.model_dump(),
        "config": make_config().model_dump(mode="json") | {"stop_timeout_seconds": 1e300},
    },
    "a deep configuration": lambda _: {"config": json.loads("[" * 60 + "]" * 60)},
    "many segments": lambda _: {
        "segments": [{"name": f"n{i}", "inode": i, "device": 1, "boot_id": ""} for i in range(5000)]
    },
    "a segment with a way out": lambda _: {
        "segments": [{"name": "../x", "inode": 1, "device": 1, "boot_id": ""}]
    },
    "a later version": lambda _: {"schema_version": 2},
    "true for a version": lambda _: {"schema_version": True},
    "a commit with a way out": lambda _: {"model_commit": "../../../x"},
    "a long run id": lambda _: {"run_id": "x" * 100_000},
    "no run id": lambda _: {"run_id": ""},
    "a state of its own": lambda _: {"state": "\x1b[2J"},
}  # fmt: skip


def cases(command: str) -> list[Case]:
    """All that one command is tried with, in an order that does not change."""
    wrongs = list(dict.fromkeys(_one_wrong()))
    if command in SLOW:
        # The rest they meet in pairs, and leave to the commands that read it.
        wrongs = [wrong for wrong in wrongs if wrong.file in {"run.json", "lock", ".", ".."}]
    chance = random.Random(f"{SEED} {command}")  # noqa: S311  # no secret
    pairs: list[tuple[Wrong, Wrong]] = []
    while len(pairs) < PAIRS_PER_COMMAND:
        one, other = chance.sample(wrongs, 2)
        if one.file != other.file:
            pairs.append((one, other))
    return [Case(command, each) for each in [*((wrong,) for wrong in wrongs), *pairs]]


def _one_wrong() -> Iterator[Wrong]:
    for file, kind in itertools.product(FILES, KINDS):
        yield Wrong(file, kind)
    for file, mode in itertools.product(FILES, MODES):
        yield Wrong(file, "regular", mode=mode)
    for file, content in itertools.product(("run.json", "events.jsonl", "server.log"), GENERAL):
        yield Wrong(file, content=content)
    for content in RECORDS:
        yield Wrong("run.json", content=content)
    if os.geteuid() == 0:
        for file, kind in itertools.product(FILES, ("regular", "link outside", "folder", "pipe")):
            yield replace(Wrong(file, kind), owner=NOBODY, mode=0o644)
        for file in FILES:
            yield Wrong(file, "regular", owner=NOBODY, mode=0o666)

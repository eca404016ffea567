"""The run record: the file by which a client finds a server that the launcher started.

It stands at `servers/NAME/run.json` in the user's state folder; `XDG_STATE_HOME` moves it. Here
it is only read, and only the fields that a client needs.
"""

import re
import socket
import time
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from clients.errors import (
    ConfigurationError,
    RunRecordError,
    ServerGoneError,
    ServerLookupError,
    ServerNotFoundError,
    ServerNotReadyError,
    ServerStartingError,
    ServerUnhealthyError,
)
from clients.http.local.own_file import read_state_file
from clients.http.local.processes import Process

# The same as `launcher.names`, which is not imported: a test holds the two together.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_READY = "READY"
_DEFAULT = "default"
_LISTENS_SECONDS = 0.5
# For all of them: each may be one that does not answer.
_LOOK_SECONDS = 2.0
_LARGEST_BYTES = 1024**2
# The launcher's states, in `launcher/state/states.py`.
_STATE_ERRORS: dict[str, type[ServerNotReadyError]] = {
    "STARTING": ServerStartingError,
    "BACKOFF": ServerStartingError,
    "UNHEALTHY": ServerUnhealthyError,
}


class _ImpossibleRecordError(ValueError):
    """A field of a record cannot be true; the text is its name."""


class ServedConfig(BaseModel):
    """What of a server's configuration decides whether clients ask it.

    Attributes:
        node_rank: its machine's number among those that serve together; clients ask number 0.
        dist_init_addr: where these meet, an address of machine 0.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    node_rank: int = 0
    dist_init_addr: str | None = None


class RunRecord(BaseModel):
    """What a client needs to know of a running server.

    Attributes:
        schema_version: of the file; this reader knows 1.
        name: the server's name on this machine.
        run_id: one start of the server.
        state: in the launcher's words; a client wants READY.
        base_url: scheme, host and port, without `/v1`.
        served_model_name: what requests call the model.
        api_key_file: file that holds the key, readable by its owner only; `None` without a key.
            The key itself never stands in the record.
        admin_key_file: likewise for the admin key; there while the server runs.
        server: its first process; `None` while it has none.
        supervisor: the process that keeps it up.
        config: a part of what it serves.
    """

    # Times, versions and process ids are the launcher's business and may grow.
    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1]
    name: str
    run_id: str
    state: str
    base_url: str
    served_model_name: str
    api_key_file: Path | None = None
    admin_key_file: Path | None = None
    server: Process | None = None
    supervisor: Process | None = None
    config: ServedConfig = ServedConfig()


def run_record_path(name: str = _DEFAULT) -> Path:
    """Say where the record of a server stands, whether or not it exists.

    Args:
        name: of the server: letters, digits, dots, underscores and dashes, 64 at the most, of
            which the first is a letter or a digit.

    Returns:
        The path.

    Raises:
        ConfigurationError: that is not a name, and could lead out of the folder.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"Not a server name: {name!r}.",
            action="Use letters, digits, dots, underscores and dashes, 64 at the most, and begin "
            "with a letter or a digit.",
        )
    # Not on import: who gives a URL needs no folder.
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_state_path("specserve") / "servers" / name / "run.json"


def read_run_record(name: str = _DEFAULT) -> RunRecord:
    """Read the record of a server, whatever its state.

    Args:
        name: of the server.

    Returns:
        The record.

    Raises:
        ConfigurationError: that is not a name.
        ServerNotFoundError: there is no record.
        RunRecordError: it cannot be read, is torn, has another schema, or is not this user's alone.
    """
    path = run_record_path(name)
    try:
        return _read(path)
    except FileNotFoundError:
        start = ServerNotFoundError.default_action
        start += "" if name == _DEFAULT else f" --name {name}"
        running = running_servers()
        # Nothing but the path was wrong, and the message has it.
        raise ServerNotFoundError(
            f"No server named {name!r}: no {path}.{_told(running)}",
            path=path,
            action=_choose(running) or start,
            running=running,
        ) from None
    except _ImpossibleRecordError as error:
        raise RunRecordError(
            f"Not the run record of server {name!r}: {path}: its {error} cannot be true.",
            path=path,
        ) from None
    except OSError as error:
        raise RunRecordError(
            f"Cannot read the run record {path}: {error.strerror}.", path=path
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunRecordError(
            f"Not a run record of schema 1: {path}: {field}: {first['msg']}.", path=path
        ) from error


def running_servers() -> tuple[str, ...]:
    """Name the servers of this user that take requests now: READY, and listening.

    For the errors: a record alone may be that of a server that was killed.
    """
    names = []
    deadline = time.monotonic() + _LOOK_SECONDS
    for path in sorted(run_record_path().parent.parent.glob("*/run.json")):
        try:
            record = _read(path)
        except (OSError, ValueError):
            continue
        if time.monotonic() > deadline:
            break
        asked = record.state == _READY and record.config.node_rank == 0
        if asked and _lives(record.server) and _listens(record.base_url):
            names.append(path.parent.name)
    return tuple(names)


def _read(path: Path) -> RunRecord:
    """What stands in a file that this user alone can have written."""
    content = read_state_file(path, largest_bytes=_LARGEST_BYTES)
    # Strictly: a number is no text.
    record = RunRecord.model_validate_json(content, strict=True)
    if (impossible := _impossible(record, from_json(content).get("config"), path)) is not None:
        raise _ImpossibleRecordError(impossible)
    return record


def _impossible(record: RunRecord, config: object, path: Path) -> str | None:
    """The first field that this server's record cannot have so, in its folder or by its config.

    As the launcher judges it, in `launcher/state/foreign.py`, and more of the files of keys.
    """
    served: dict[str, Any] = config if isinstance(config, dict) else {}
    made = path.parent / "admin.key"
    possible = {
        "name": record.name == path.parent.name,
        "base_url": record.base_url == _base_url(served.get("host"), served.get("port")),
        "api_key_file": record.api_key_file == _path(served.get("api_key_file")),
        "admin_key_file": record.admin_key_file
        in {None, made, _path(served.get("admin_key_file"))},
    }
    return next((field for field, is_possible in possible.items() if not is_possible), None)


def _base_url(host: object, port: object) -> str | None:
    """Where a client on this machine finds a server; as `launcher.config.server_config` says it."""
    if not isinstance(host, str) or type(port) is not int:
        return None
    # A server on all interfaces is reached through loopback from here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - told, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _path(value: object) -> Path | None:
    return Path(value) if isinstance(value, str) else None


def _lives(process: Process | None) -> bool:
    return process is not None and process.is_alive()


def _listens(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        socket.create_connection((parts.hostname, parts.port), _LISTENS_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def _told(running: tuple[str, ...]) -> str:
    return f" Running: {', '.join(running)}." if running else ""


def _choose(running: tuple[str, ...]) -> str | None:
    if not running:
        return None
    return f"Choose one: ChatClient(server={running[0]!r}), or --name {running[0]}."


def find_ready_server(name: str = _DEFAULT) -> RunRecord:
    """Read the record of a server that takes requests.

    Args:
        name: of the server.

    Returns:
        The record.

    Raises:
        ServerLookupError: it computes for a server on another machine.
        ServerGoneError: it says READY, and neither the server nor its supervisor lives.
        ServerNotReadyError: its state is not READY; `ServerStartingError` and
            `ServerUnhealthyError` are kinds of it. Or it says so, and the server has just ended.
        ClientError: as `read_run_record` does.
    """
    record = read_run_record(name)
    if record.config.node_rank > 0:
        place = record.config.dist_init_addr
        raise ServerLookupError(
            f"Server {name!r} computes for machine 0, which clients ask; they meet at {place}.",
            path=run_record_path(name),
            action="Run the client on machine 0, or give it the URL of the server there.",
        )
    if record.state != _READY:
        error_class = _STATE_ERRORS.get(record.state, ServerNotReadyError)
        # Of a server on its way, waiting for it is the advice; another one may be meant else.
        others = () if issubclass(error_class, ServerStartingError) else running_servers()
        raise error_class(
            f"Server {name!r} is {record.state}, not {_READY}.{_told(others)}",
            path=run_record_path(name),
            state=record.state,
            action=_choose(others),
            running=others,
        )
    if not _lives(record.server):
        raise _gone(name, record)
    return record


def _gone(name: str, record: RunRecord) -> ServerLookupError:
    """The error for a server that has ended, and left a record that says READY."""
    path, others = run_record_path(name), running_servers()
    pid = record.server.pid if record.server else None
    if _lives(record.supervisor):
        return ServerStartingError(
            f"Server {name!r} has just ended: its process {pid} is gone.{_told(others)}",
            path=path,
            state="STARTING",
            running=others,
        )
    action = ServerGoneError.default_action.replace(
        "launcher up.", "launcher up." if name == _DEFAULT else f"launcher up --name {name}."
    )
    return ServerGoneError(
        f"Server {name!r} is gone: neither its process {pid} nor its supervisor lives."
        f"{_told(others)}",
        path=path,
        action=_choose(others) or action,
        running=others,
    )

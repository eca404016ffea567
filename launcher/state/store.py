"""What runs where: one folder per server name under the user's state folder.

    servers/NAME/run.json      the run record, replaced atomically; clients and benchmarks read it
    servers/NAME/events.jsonl  one event a line, of all runs
    servers/NAME/server.log    what the server printed, keys removed; .1 and up: before that
    servers/NAME/secrets.yaml  the keys, for SGLang; there only until the server is ready
    servers/NAME/admin.key     the admin key that was made for it; there only while it runs
    servers/NAME/supervisor.log  what a detached supervisor itself printed
    servers/NAME/lock          held by the supervisor for as long as it lives

The supervisor writes the record; `down` closes that of a server whose supervisor was killed, and
`up` takes that server over.
Folders are 0700, files 0600.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from launcher.errors import AlreadyRunningError, InvalidValueError, StateError
from launcher.names import SERVER_NAME_PATTERN
from launcher.state.paths import servers_root
from launcher.state.record import SCHEMA_VERSION, RunRecord
from launcher.system.files import cannot_write, make_private_folder, write_atomically
from launcher.system.locks import open_locked

# A supervisor that was killed holds the lock until the last of its threads has ended.
LOCK_PATIENCE_SECONDS: Final = 1.0


class RunStore:
    """The folder of one server name.

    Attributes:
        record_file: the run record.
        events_file: one event a line.
        log_file: what the server printed.
        supervisor_log_file: what a detached supervisor itself printed: empty unless it has a
            defect.
        secrets_file: the keys, until the running server has read them.
        admin_key_file: the admin key of the running server, for whoever started it.
    """

    def __init__(self, name: str, *, root: Path | None = None) -> None:
        if not _is_valid_name(name):
            raise InvalidValueError(
                f"The server name {name!r} is not valid.",
                action="Use letters, digits, dots, dashes and underscores, 64 at the most.",
            )
        self.name = name
        self.folder = (root or servers_root()) / name
        self.record_file = self.folder / "run.json"
        self.events_file = self.folder / "events.jsonl"
        self.log_file = self.folder / "server.log"
        self.supervisor_log_file = self.folder / "supervisor.log"
        self.secrets_file = self.folder / "secrets.yaml"
        self.admin_key_file = self.folder / "admin.key"

    def create(self) -> None:
        """Make the folder.

        Raises:
            StateError: the system refuses.
        """
        make_private_folder(self.folder)

    def read(self) -> RunRecord | None:
        """The record of the last run, or None where there was none.

        Raises:
            StateError: it cannot be read, or another version of this project wrote it.
        """
        try:
            content = self.record_file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(
                f"{self.record_file} cannot be read: {error.strerror}.",
                action="Mend its permissions, or set XDG_STATE_HOME to another folder.",
            ) from error
        try:
            return RunRecord.model_validate_json(content)
        except ValidationError as error:
            raise StateError(
                f"{self.record_file} is not a run record of version {SCHEMA_VERSION} "
                f"({error.error_count()} fields do not fit).",
                action="Stop that server with the version that started it, or remove the file.",
            ) from error

    def write(self, record: RunRecord) -> None:
        """Replace the record.

        Raises:
            StateError: the disk is full or not writable; the old record then stands.
        """
        write_atomically(self.record_file, record.model_dump_json(indent=2) + "\n")

    def write_secrets(self, keys: dict[str, str]) -> None:
        """Write the keys for SGLang's `--config`."""
        # JSON is YAML, and quotes every key: "123" stays text, "null" a word.
        write_atomically(self.secrets_file, json.dumps(keys) + "\n")

    def remove_secrets(self) -> None:
        """Forget the keys: the server has read them, or has ended.

        A disk that became read-only keeps them; that must not end a server.
        """
        _remove(self.secrets_file)

    def write_admin_key(self, key: str) -> None:
        """Keep the admin key while the server runs; only its user can read the file.

        Raises:
            StateError: the disk is full or not writable.
        """
        write_atomically(self.admin_key_file, f"{key}\n")

    def forget_keys(self) -> None:
        """Forget all keys: the server has ended."""
        self.remove_secrets()
        _remove(self.admin_key_file)

    def remove_partials(self) -> None:
        """Remove what was being written when its writer was killed; the caller has the lock."""
        for partial in self.folder.glob(".*.partial"):
            with contextlib.suppress(OSError):
                partial.unlink()

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Be the only supervisor of this name. The kernel lets go when the process dies.

        Yields the descriptor: a process that inherits it holds the lock too.

        Raises:
            AlreadyRunningError: another supervisor holds it.
            StateError: the lock file cannot be made.
        """

        def may_be_dying() -> bool:
            record = self.read()
            return record is None or not record.is_supervised

        lock_file = self.folder / "lock"
        try:
            file = open_locked(
                lock_file, timeout_seconds=LOCK_PATIENCE_SECONDS, keep_waiting=may_be_dying
            )
        except BlockingIOError:
            raise already_running(self.read(), self.name) from None
        except OSError as error:
            raise cannot_write(lock_file, error) from error
        with file:
            yield file.fileno()


def _remove(file: Path) -> None:
    # Whoever is killed while it writes leaves a partial file: `write_atomically`.
    for each in (file, *file.parent.glob(f".{file.name}.*.partial")):
        with contextlib.suppress(OSError):
            each.unlink()


def list_stores(root: Path | None = None) -> list[RunStore]:
    """All servers that have a record, by name."""
    folder = root or servers_root()
    names = sorted(file.parent.name for file in folder.glob("*/run.json"))
    return [RunStore(name, root=folder) for name in names if _is_valid_name(name)]


def _is_valid_name(name: str) -> bool:
    return re.fullmatch(SERVER_NAME_PATTERN, name) is not None


def already_running(record: RunRecord | None, name: str) -> AlreadyRunningError:
    """The error that names what runs."""
    what = f"A server named {name!r} is already starting"
    if record is not None and record.server is not None and record.is_running:
        what = (
            f"The server {name!r} is already running: {record.live_state} at {record.base_url}, "
            f"model {record.served_model_name}, process {record.server.pid}, "
            f"since {record.started_at:%Y-%m-%d %H:%M:%S} UTC"
        )
    return AlreadyRunningError(
        f"{what}.",
        action=(
            f"Use it, stop it with `python -m launcher down --name {name}`, "
            "or start another one with --name and --port."
        ),
    )

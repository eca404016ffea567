"""What runs where: one folder per server name under the user's state folder.

    servers/NAME/run.json      the run record, replaced atomically; clients and benchmarks read it
    servers/NAME/events.jsonl  one event a line, of all runs
    servers/NAME/server.log    what the server printed, keys removed; .1 and up: before that
    servers/NAME/secrets.yaml  the keys, for SGLang; there only until the server is ready
    servers/NAME/admin.key     the admin key that was made for it; there only while it runs
    servers/NAME/supervisor.log  what a detached supervisor itself printed
    servers/NAME/lock          held by the supervisor for as long as it lives; executable, and
                               newer than the record, since the record could not be written
    servers/NAME/.run.json.spare  a place for the record on a disk without room

The supervisor writes the record; `down` closes that of a server whose supervisor was killed, and
`up` takes that server over.
Folders are 0700, files 0600, whatever the umask, and nothing is read or written there that is not
ours alone (`launcher.system.private`); what stands in the place of a file is set aside.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from launcher.errors import (
    BrokenRecordError,
    ForeignStateError,
    InvalidValueError,
    StateError,
)
from launcher.names import SERVER_NAME_PATTERN
from launcher.state import spare
from launcher.state.foreign import LARGEST_RECORD_BYTES, confirm, parse_record
from launcher.state.paths import servers_root
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.system import private
from launcher.system.files import cannot_read, cannot_write, make_private_folder, write_atomically
from launcher.system.locks import LockHolder, find_holder, open_locked, own_descriptor

# A supervisor that was killed holds the lock until the last of its threads has ended.
LOCK_PATIENCE_SECONDS: Final = 1.0
# The mode of a lock is no permission to anybody else; its file is empty, and executed by nobody.
_MARKED: Final = 0o700


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
        if not is_valid_name(name):
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
        self.lock_file = self.folder / "lock"
        self._set_aside: list[tuple[Path, Path]] = []
        # Of this process, where it is the one that writes.
        self._written: tuple[int, ...] | None = None
        self._admin_key: str | None = None
        self._further_locks: list[int] = []

    def create(self) -> None:
        """Make the folder.

        Raises:
            ForeignStateError: it, or the way to it, is not ours alone.
            StateError: the system refuses.
        """
        # A link in the place of either could lead anywhere.
        make_private_folder(self.folder.parent)
        make_private_folder(self.folder)

    def read(self) -> RunRecord | None:
        """The record of the last run, or None where there was none.

        Of the processes in it, those that are not what it says are left out.

        Raises:
            ForeignStateError: the folder, or the file, is not ours alone.
            BrokenRecordError: it is no record, or says what cannot be.
            StateError: it cannot be read, or another version of this project wrote it.
        """
        try:
            self._check_folders()
            content = private.read_bytes(self.record_file, largest_bytes=LARGEST_RECORD_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise cannot_read(self.record_file, error) from error
        record = parse_record(content, self.name, self.record_file)
        record = confirm(record, self.lock_file, self.log_file)
        if record.is_supervised and (since := _unwritten_since(self)) is not None:
            return record.model_copy(update={"unwritten_since": since})
        return record

    def read_or_set_aside(self) -> RunRecord | None:
        """The record of the last run; what is none is renamed, so that it blocks nobody.

        Raises:
            AlreadyRunningError: a supervisor is at work all the same, and will write another.
            StateError: it cannot be read or renamed, or another version of this project wrote it.
        """
        try:
            return self.read()
        except (BrokenRecordError, ForeignStateError):
            with self.lock():
                # The lock may have done it.
                try:
                    return self.read()
                except (BrokenRecordError, ForeignStateError):
                    self._move_away(self.record_file)
        return None

    def write(self, record: RunRecord) -> None:
        """Replace the record; on a full disk by way of `launcher.state.spare`.

        Raises:
            StateError: the disk is full or not writable; the old record then stands.
        """
        spare.replace(self.record_file, record.model_dump_json(indent=2) + "\n")
        self._written = _mark_of(self.record_file)

    def is_as_written(self) -> bool:
        """Whether what this process, the supervisor, keeps here is still what it has put here."""
        return (
            self._written is not None
            and _mark_of(self.record_file) == self._written
            and own_descriptor(self.lock_file) is not None
            and (self._admin_key is None or self.admin_key_file.exists())
        )

    def put_back(self) -> None:
        """Put back what somebody has removed under a supervisor: folder, lock, admin key.

        Raises:
            AlreadyRunningError: another supervisor has taken the name since the lock was removed.
            ForeignStateError: what is there now is not ours alone.
            StateError: the system refuses.
        """
        self.create()
        if own_descriptor(self.lock_file) is None:
            try:
                self._clear(self.lock_file)
                # Held for as long as the one that was removed.
                with open_locked(self.lock_file) as lock:
                    self._further_locks.append(os.dup(lock.fileno()))
            except BlockingIOError:
                raise already_running(None, self.name, find_holder(self.lock_file)) from None
            except OSError as error:
                raise cannot_write(self.lock_file, error) from error
        if self._admin_key is not None and not self.admin_key_file.exists():
            self.write_admin_key(self._admin_key)

    def mark_unwritten(self) -> None:
        """Say that the record is not true from now on; it takes no room on the disk."""
        if (lock := own_descriptor(self.lock_file)) is not None:
            with contextlib.suppress(OSError):
                os.fchmod(lock, _MARKED)
                os.utime(lock)

    def find_holder(self) -> LockHolder | None:
        """Who holds the lock of this name; None where nobody does."""
        return find_holder(self.lock_file)

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
        self._admin_key = key

    def forget_keys(self) -> None:
        """Forget all keys: the server has ended."""
        self.remove_secrets()
        self._admin_key = None
        _remove(self.admin_key_file)

    def remove_partials(self) -> None:
        """Remove what was being written when its writer was killed; the caller has the lock."""
        for partial in self.folder.glob(".*.partial"):
            with contextlib.suppress(OSError):
                partial.unlink()

    @contextlib.contextmanager
    def lock(self) -> Iterator[int]:
        """Be the only supervisor of this name. The kernel lets go when the process dies.

        Whatever stands in the place of a file of ours and is none is set aside then; see
        `was_set_aside`.

        Yields the descriptor: a process that inherits it holds the lock too.

        Raises:
            AlreadyRunningError: another supervisor holds it.
            ForeignStateError: the folder is not ours alone.
            StateError: the lock file cannot be made.
        """

        def may_be_dying() -> bool:
            record = self._read_as_far_as_possible()
            return record is None or not record.is_supervised

        try:
            self._check_folders()
            self._clear(self.lock_file)
            file = open_locked(
                self.lock_file, timeout_seconds=LOCK_PATIENCE_SECONDS, keep_waiting=may_be_dying
            )
        except BlockingIOError:
            raise already_running(
                self._read_as_far_as_possible(), self.name, self.find_holder()
            ) from None
        except OSError as error:
            raise cannot_write(self.lock_file, error) from error
        with file:
            for each in self._own_files():
                self._clear(each)
            try:
                yield file.fileno()
            finally:
                while self._further_locks:
                    os.close(self._further_locks.pop())

    def was_set_aside(self) -> list[str]:
        """What `lock` has set aside since this was last asked, a sentence each."""
        told = [
            f"{old} is none of ours or broken; it was set aside as {new.name}."
            for old, new in self._set_aside
        ]
        self._set_aside.clear()
        return told

    def _check_folders(self) -> None:
        """Hold the folder of all servers and this one's against what is ours alone."""
        private.check_folder(self.folder.parent)
        private.check_folder(self.folder)

    def _read_as_far_as_possible(self) -> RunRecord | None:
        with contextlib.suppress(StateError):
            return self.read()
        return None

    def _own_files(self) -> Iterator[Path]:
        """What is written here while a server runs."""
        yield from (self.record_file, self.events_file, self.supervisor_log_file, self.secrets_file)
        yield from (self.admin_key_file, self.log_file, spare.spare_of(self.record_file))
        yield from self.folder.glob(f"{self.log_file.name}.[0-9]*")

    def _clear(self, file: Path) -> None:
        """Set aside what is no file of ours, in a place where we make one."""
        # A record that may merely not be read says what runs: it stays, and is an error.
        if not private.is_usable(file, whatever_mode=file == self.record_file):
            self._move_away(file)

    def _move_away(self, file: Path) -> None:
        try:
            self._set_aside.append((file, private.set_aside(file)))
        except OSError as error:
            raise cannot_write(file, error) from error


def _remove(file: Path) -> None:
    # Whoever is killed while it writes leaves a partial file: `write_atomically`.
    for each in (file, *file.parent.glob(f".{file.name}.*.partial")):
        with contextlib.suppress(OSError):
            each.unlink()


def _unwritten_since(store: RunStore) -> datetime | None:
    """Since when the record could not be written; None where it is as the supervisor says."""
    with contextlib.suppress(OSError):
        lock, written = store.lock_file.lstat(), store.record_file.lstat()
        if lock.st_mode & stat.S_IXUSR and lock.st_mtime_ns > written.st_mtime_ns:
            return datetime.fromtimestamp(lock.st_mtime, UTC)
    return None


def _mark_of(file: Path) -> tuple[int, ...]:
    """What tells a file from any that takes its place; empty where there is none."""
    try:
        found = file.lstat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def list_stores(root: Path | None = None) -> list[RunStore]:
    """All servers that have a record, by name, be it a broken one.

    Raises:
        ForeignStateError: the folder of all servers is not ours alone.
        StateError: it cannot be read.
    """
    folder = root or servers_root()
    try:
        private.check_folder(folder)
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(folder, error) from error
    stores = [RunStore(name, root=folder) for name in names if is_valid_name(name)]
    return [store for store in stores if _may_have_record(store)]


def _may_have_record(store: RunStore) -> bool:
    """Whether there is a record, or one cannot look: whoever reads it will say why."""
    try:
        store.record_file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_valid_name(name: str) -> bool:
    """Whether a server may have this name."""
    return re.fullmatch(SERVER_NAME_PATTERN, name) is not None

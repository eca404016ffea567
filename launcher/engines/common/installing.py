"""Makes and removes environments of engines, by uv.

An environment is made where it stays, since its scripts name their interpreter by its whole path;
the file that says that it is whole is written at last. What is broken off leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from launcher.engines.common.environments import Environment, environments_root, list_environments
from launcher.errors import InstallError, InsufficientDiskError, StateError
from launcher.state.record import RunRecord
from launcher.state.store import list_stores
from launcher.system.files import make_private_folder, write_atomically
from launcher.system.hardware import free_disk_bytes
from launcher.system.locks import open_locked
from launcher.text import human_bytes

# They would have it import, or write, what belongs to another environment.
_NOT_PASSED_ON: Final = frozenset(
    {"PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
)
_LAST_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Installable:
    """What an engine's environment is made of.

    Attributes:
        environment: where it will be.
        overrides: requirements that replace what the packages ask for, each with its version.
        disk_bytes: what it takes, measured.
        note: what people should know of the package; empty where it is the engine's own.
    """

    environment: Environment
    overrides: tuple[str, ...]
    disk_bytes: int
    note: str = ""

    @property
    def requirement(self) -> str:
        """For uv and pip."""
        return f"{self.environment.distribution}=={self.environment.version}"


def install(what: Installable, *, offline: bool, force: bool, quiet: bool) -> Mapping[str, Any]:
    """Make the environment; one that is whole stays as it is.

    Args:
        what: to install.
        offline: take everything from uv's cache.
        force: make it anew where it is.
        quiet: print nothing of uv's own progress.

    Returns:
        What `read_record` tells of it, with `made`: whether it was made now.

    Raises:
        InstallError: uv is not here or failed, another installation is under way, or a server runs
            from it.
        InsufficientDiskError: there is no room.
    """
    environment = what.environment
    uv = _find_uv()
    with _alone():
        if environment.is_whole and not force:
            return {**read_record(environment), "made": False}
        _check_unused(environment)
        _check_room(what)
        _remove_folder(environment.folder)
        try:
            _make(uv, what, offline=offline, quiet=quiet)
        except BaseException:
            _remove_folder(environment.folder)
            raise
        record = {
            "distribution": environment.distribution,
            "version": environment.version,
            "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "size_bytes": _size_of(environment.folder),
            "overrides": what.overrides,
            "note": what.note,
        }
        write_atomically(environment.done_file, json.dumps(record, indent=2) + "\n")
    return {**record, "made": True}


def read_record(environment: Environment) -> dict[str, Any]:
    """What was written when it was whole; empty where that cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(environment.done_file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def find_installed(name: str) -> Environment:
    """The environment of that name.

    Raises:
        InstallError: there is none.
    """
    here = list_environments()
    for environment in here:
        if environment.name == name:
            return environment
    known = ", ".join(environment.name for environment in here)
    raise InstallError(
        f"There is no environment {name!r}.",
        action=f"Here are: {known}." if known else "None is installed here.",
    )


def remove(environment: Environment) -> None:
    """Remove an environment.

    Raises:
        InstallError: a server runs from it, or it cannot be removed.
    """
    with _alone():
        _check_unused(environment)
        _remove_folder(environment.folder)
    if environment.folder.exists():
        raise InstallError(
            f"{environment.folder} could not be removed whole.",
            action="See who owns its files: `ls -la`; then remove it by hand.",
        )


def users_of(environment: Environment) -> tuple[str, ...]:
    """Names of the servers that run from it."""
    found = []
    for store in list_stores():
        # One whose record cannot be read is none that we could name.
        with contextlib.suppress(StateError):
            record = store.read()
            if record is not None and record.is_running and _runs_from(record, environment):
                found.append(store.name)
    return tuple(found)


def _runs_from(record: RunRecord, environment: Environment) -> bool:
    return bool(record.command) and Path(record.command[0]).is_relative_to(environment.folder)


def _find_uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if found is None:
        raise InstallError(
            "uv makes the environment, and it is not on PATH.",
            action="Install it: `pip install uv`, or see its documentation.",
        )
    return found


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of the folder of environments; the kernel frees that of a dead process."""
    root = environments_root()
    make_private_folder(root)
    try:
        lock = open_locked(root / ".lock")
    except BlockingIOError:
        raise InstallError(
            "Another installation or removal of an engine is under way.",
            action="Wait for it; `python -m launcher engine list` shows what is here.",
        ) from None
    with lock:
        yield


def _check_unused(environment: Environment) -> None:
    if users := users_of(environment):
        raise InstallError(
            f"{environment.name} serves: {', '.join(users)}.",
            action=f"Stop it first: `python -m launcher down --name {users[0]}`.",
        )


def _check_room(what: Installable) -> None:
    free = free_disk_bytes(what.environment.folder)
    if free < what.disk_bytes:
        raise InsufficientDiskError(
            f"{what.environment.name} takes {human_bytes(what.disk_bytes)}, and "
            f"{human_bytes(free)} are free at {what.environment.folder.parent}.",
            action="Free space there, or set XDG_DATA_HOME to a folder on another disk.",
        )


def _make(uv: str, what: Installable, *, offline: bool, quiet: bool) -> None:
    environment = what.environment
    python = str(environment.python)
    where = ["--offline"] if offline else []
    _run([uv, "venv", *where, "--python", sys.executable, str(environment.folder)], quiet=quiet)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as overrides:
        overrides.write("".join(f"{one}\n" for one in what.overrides))
        overrides.flush()
        told = ["--override", overrides.name] if what.overrides else []
        # Without its bytecode each start would spend a minute to read the sources.
        command = [uv, "pip", "install", *where, "--compile-bytecode", "--python", python, *told]
        _run([*command, what.requirement], quiet=quiet)


def _run(command: list[str], *, quiet: bool) -> None:
    """Run uv in a folder without a project, whose settings would hold for it.

    Raises:
        InstallError: it failed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    done = subprocess.run(
        command,
        cwd=environments_root(),
        env=environment,
        stdin=subprocess.DEVNULL,
        # uv's progress is for a terminal; its last words are kept where nobody reads it.
        stdout=subprocess.PIPE if quiet else sys.stderr,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    said = done.stderr if quiet else ""
    offline = "--offline" in command
    raise InstallError(
        f"`uv {command[1]}` failed with exit code {done.returncode}.",
        action="uv's cache does not hold all of it: install once without --offline."
        if offline
        else "uv's own lines say why; a network that is away is the usual reason. Try again.",
        evidence=tuple(said.strip().splitlines()[-_LAST_LINES:]),
    )


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _size_of(folder: Path) -> int:
    """Bytes on the disk of all files in it; what is linked from uv's cache counts, too."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(root) / name).st_blocks * 512
    return total

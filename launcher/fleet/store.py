"""Which fleet runs, on disk.

    fleets/NAME/fleet.json      its file's content, as it was last brought up
    fleets/NAME/discovery.json  which members take requests: their supervisors write it
    fleets/NAME/lock            held by the command that changes the fleet

Its members are servers of their own: `launcher.state.store`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from launcher.errors import AlreadyRunningError, FleetError, InvalidValueError, StateError
from launcher.fleet.fleet_file import NAME_PATTERN, FleetConfig
from launcher.state.paths import fleets_root
from launcher.system import private
from launcher.system.files import cannot_read, cannot_write, make_private_folder, write_atomically
from launcher.system.locks import find_holder, open_locked

LARGEST_FILE_BYTES: Final = 1024**2


class FleetStore:
    """The folder of one fleet.

    Attributes:
        name: of the fleet.
        discovery_file: in which its members stand while they serve.
    """

    def __init__(self, name: str, *, root: Path | None = None) -> None:
        if not re.fullmatch(NAME_PATTERN, name):
            raise InvalidValueError(
                f"The fleet name {name!r} is not valid.",
                action="Use letters, digits, dots, dashes and underscores, 48 at the most.",
            )
        self.name = name
        self.folder = (root or fleets_root()) / name
        self.discovery_file = self.folder / "discovery.json"
        self._file = self.folder / "fleet.json"
        self._lock_file = self.folder / "lock"

    def read(self) -> FleetConfig | None:
        """The fleet as it was last brought up; None where there was none.

        Raises:
            StateError: it cannot be read, or another version of this project wrote it.
        """
        try:
            content = private.read_bytes(self._file, largest_bytes=LARGEST_FILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise cannot_read(self._file, error) from error
        try:
            return FleetConfig.model_validate_json(content)
        except ValidationError:
            raise StateError(
                f"{self._file} was written by another version of this project.",
                action=f"Stop its members one by one (`python -m launcher status` lists them), "
                f"then remove {self.folder}.",
            ) from None

    def require(self) -> FleetConfig:
        """The same, of a fleet that must be known.

        Raises:
            FleetError: there was none.
            StateError: see `read`.
        """
        fleet = self.read()
        if fleet is None:
            known = ", ".join(list_fleets())
            raise FleetError(
                f"No fleet named {self.name!r} was ever started here.",
                action=f"Known names: {known}."
                if known
                else "Start one: `python -m launcher fleet up FLEET.yaml`.",
            )
        return fleet

    def write(self, fleet: FleetConfig) -> None:
        """Remember what the fleet is.

        Raises:
            StateError: the disk does not take it.
        """
        make_private_folder(self.folder)
        write_atomically(self._file, fleet.model_dump_json(indent=2) + "\n")

    def forget(self) -> None:
        """Remove what is known of a fleet of which nothing is left."""
        for file in self.folder.glob("discovery.json*"):
            file.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one that changes the fleet.

        Raises:
            AlreadyRunningError: another command is at work on it.
            StateError: the folder cannot be written.
        """
        make_private_folder(self.folder.parent)
        make_private_folder(self.folder)
        try:
            lock = open_locked(self._lock_file)
        except BlockingIOError:
            holder = find_holder(self._lock_file)
            whose = "" if holder is None or holder.pid is None else f" (process {holder.pid})"
            raise AlreadyRunningError(
                f"Another command{whose} is changing the fleet {self.name!r}.",
                action="Wait for its end, then run this one again.",
            ) from None
        except OSError as error:
            raise cannot_write(self._lock_file, error) from error
        with lock:
            yield


def list_fleets() -> tuple[str, ...]:
    """Names of the fleets that were brought up and not forgotten."""
    with contextlib.suppress(OSError):
        return tuple(sorted(file.parent.name for file in fleets_root().glob("*/fleet.json")))
    return ()

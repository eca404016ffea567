"""No server was found by its run record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients.errors.base import ClientError

if TYPE_CHECKING:
    from pathlib import Path


class ServerLookupError(ClientError):
    """No URL was given, and the run record at `path` did not lead to one.

    Attributes:
        path: of the record.
        running: names of the servers that do run on this machine.
    """

    exit_code = 81

    def __init__(
        self,
        problem: str,
        *,
        path: Path,
        action: str | None = None,
        running: tuple[str, ...] = (),
    ) -> None:
        super().__init__(problem, action=action)
        self.path = path
        self.running = running


class ServerNotFoundError(ServerLookupError):
    """There is no run record of that name."""

    default_action = "Start one with: python -m launcher up"


class ServerGoneError(ServerLookupError):
    """There is a run record, and neither its server nor its supervisor lives.

    A client in another container sees neither, and takes them for gone.
    """

    default_action = (
        "Start it again with: python -m launcher up. Where it runs in another container, pass "
        "base_url and api_key."
    )


class ServerNotReadyError(ServerLookupError):
    """There is a run record, and its `state` is not READY."""

    default_action = "See how far it is with: python -m launcher status"
    exit_code = 82

    def __init__(
        self,
        problem: str,
        *,
        path: Path,
        state: str,
        action: str | None = None,
        running: tuple[str, ...] = (),
    ) -> None:
        super().__init__(problem, path=path, action=action, running=running)
        self.state = state


class ServerStartingError(ServerNotReadyError):
    """The server is being started, or will be started again in a moment."""

    default_action = "Wait for it; see how far it is with: python -m launcher status"


class ServerUnhealthyError(ServerNotReadyError):
    """The server lives and generates nothing; the launcher will start it again."""

    default_action = "Look for the cause with: python -m launcher logs"


class RunRecordError(ServerLookupError):
    """The run record, or the key file it names, cannot be read."""

    default_action = "Start the server again with: python -m launcher restart"

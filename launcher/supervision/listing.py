"""A server's place in the file that a gateway reads: there while it is READY, and never else."""

from __future__ import annotations

import contextlib
from pathlib import Path

from launcher.config.gateway_config import GatewayConfig
from launcher.config.server_config import ServerConfig
from launcher.engines.smg.discovery import NOTICED_SECONDS, change_listed
from launcher.errors import StateError
from launcher.state.record import RunRecord
from launcher.state.states import ServerState


class Listing:
    """Follows a server's state.

    A supervisor that is killed leaves its server where it stands: that serves on, and the gateway
    finds out itself when it does not.

    Args:
        file: of the gateway; None: the server stands in none.
        url: the server's address.
    """

    def __init__(self, file: Path | None, url: str) -> None:
        self._file = file
        self._url = url

    @classmethod
    def of(cls, config: ServerConfig) -> Listing:
        """The place of a server; a gateway itself has none."""
        is_gateway = isinstance(config, GatewayConfig)
        return cls(None if is_gateway else config.discovery_file, config.base_url)

    @classmethod
    def of_record(cls, record: RunRecord) -> Listing:
        """The place of a server that somebody else has supervised, by its record."""
        file = record.config.get("discovery_file")
        if not isinstance(file, str) or "gateway" in record.config:
            return cls(None, record.base_url)
        return cls(Path(file), record.base_url)

    @property
    def leave_seconds(self) -> float:
        """How long a server that is stopped still takes requests, until the gateway knows."""
        return 0.0 if self._file is None else NOTICED_SECONDS

    def follow(self, state: ServerState) -> None:
        """Be there in READY, and not there in any other state.

        A disk that is full now must not end a server that serves: the next call makes up for it.
        """
        if self._file is None:
            return
        with contextlib.suppress(StateError):
            if state is ServerState.READY:
                change_listed(self._file, add=(self._url,))
            else:
                change_listed(self._file, remove=(self._url,))

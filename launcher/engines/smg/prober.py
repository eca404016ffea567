"""Asks a running gateway over HTTP: whether it lives, and which servers it knows."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from launcher.engines.common.asking import ask
from launcher.memory.report import ReportedMemory

STATUS_TIMEOUT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server as the gateway knows it.

    Attributes:
        url: its address.
        status: in the gateway's words: `ready`, `not_ready`, `draining` and others.
        load: requests that it has now.
    """

    url: str
    status: str
    load: int


@dataclass(slots=True)
class GatewayProber:
    """Asks a gateway, past any proxy; see `launcher.engines.prober.Prober`.

    It has no tokens of its own: that its servers generate some is their supervisors' affair, and a
    gateway whose servers have all failed is well. So a probe asks whether it answers at all.

    `admin_key` is sent to the routes that tell of servers.
    """

    base_url: str
    admin_key: str | None = None
    last_refusal: str | None = None

    def is_up(self) -> bool:
        """`GET /liveness`, since it is well without servers, too; see `routes`."""
        return self._status("/liveness", STATUS_TIMEOUT_SECONDS) == http.client.OK

    def routes(self) -> bool:
        """`GET /readiness`: 200 as soon as it has a server that answers."""
        return self._status("/readiness", STATUS_TIMEOUT_SECONDS) == http.client.OK

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:  # noqa: ARG002 - see above
        """`GET /liveness`."""
        return self._status("/liveness", timeout_seconds) == http.client.OK

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:  # noqa: ARG002
        """It does not say."""
        return None

    def memory(self) -> ReportedMemory | None:
        """It has no weights and no KV cache."""
        return None

    def abort_requests(self) -> bool:
        """It has no such route: at its own deadline it closes what is left."""
        return False

    def settle(self) -> bool:
        """It has nothing to settle."""
        return True

    def servers(self) -> tuple[KnownServer, ...]:
        """`GET /workers`.

        Raises:
            OSError: it does not answer, or with something else.
        """
        try:
            status, body = ask(
                f"{self.base_url}/workers",
                timeout_seconds=STATUS_TIMEOUT_SECONDS,
                key=self.admin_key,
            )
            if status != http.client.OK:
                raise OSError(None, f"status {status}")
            return tuple(map(_read_server, json.loads(body)["workers"]))
        except (ValueError, KeyError, TypeError, http.client.HTTPException) as error:
            raise OSError(None, f"no list of servers: {type(error).__name__}") from error

    def _status(self, path: str, timeout_seconds: float) -> int:
        try:
            status, body = ask(
                f"{self.base_url}{path}", timeout_seconds=timeout_seconds, key=self.admin_key
            )
        except (OSError, http.client.HTTPException) as error:
            self.last_refusal = f"{type(error).__name__}: {error}"
            return 0
        if status != http.client.OK:
            self.last_refusal = f"status {status}: {body[:200].decode('utf-8', 'replace')}"
        return status


def _read_server(worker: Mapping[str, Any]) -> KnownServer:
    return KnownServer(str(worker["url"]), str(worker.get("status")), int(worker.get("load") or 0))

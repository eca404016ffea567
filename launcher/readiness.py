"""Whether a server answers. Ready means that it generated a token, not that a port is open.

One probe runs at a time. A time-out should lie above the server's own 20 s, since SGLang does not
abort a probe whose client went away (sglang issue 35884).
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from launcher.memory.report import ReportedMemory, read_server_info

PROBE_TIMEOUT_SECONDS: Final = 120.0  # kernels may compile during the first token
# As many as SGLang's own warm-up asks for: the first token comes from the prefill, and a draft and
# a verify follow only after it.
PROBE_TOKENS: Final = 8
STATUS_TIMEOUT_SECONDS: Final = 1.0
ABORT_TIMEOUT_SECONDS: Final = 2.0
INFO_TIMEOUT_SECONDS: Final = 5.0
REFUSAL_BYTES: Final = 200
POLL_SECONDS: Final = 0.25


class Prober(Protocol):
    """The seam at which tests put another server."""

    last_refusal: str | None  # what the last probe that failed was told

    def is_up(self) -> bool:
        """Whether the server says of itself that it takes requests."""

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """Whether the server generated tokens; blocks until it did or failed."""

    def memory(self) -> ReportedMemory | None:
        """What the server says of its own memory, or None where it does not."""

    def abort_requests(self) -> bool:
        """Ask the server to end every request that it has; says whether it took that."""


@dataclass(slots=True)
class HttpProber:
    """Asks a server over HTTP, past any proxy, without redirects.

    `api_key` is sent where the server wants one, `admin_key` to its admin routes.
    """

    base_url: str
    api_key: str | None = None
    admin_key: str | None = None
    last_refusal: str | None = None

    def is_up(self) -> bool:
        """`GET /ready`: SGLang only reports a status there, and never wants a key."""
        try:
            status, _ = self._request("GET", "/ready", None, STATUS_TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """`POST /generate`. SGLang aborts it when the connection closes at the time-out."""
        request = {
            "text": "1",
            "sampling_params": {
                "max_new_tokens": tokens,
                "temperature": 0,
                "ignore_eos": True,
            },
        }
        try:
            status, body = self._request("POST", "/generate", request, timeout_seconds)
        except (OSError, http.client.HTTPException) as error:
            self.last_refusal = f"{type(error).__name__}: {error}"
            return False
        try:
            generated = int(json.loads(body)["meta_info"]["completion_tokens"])
        except (ValueError, KeyError, TypeError):
            generated = 0
        if status == http.client.OK and generated >= 1:
            return True
        self.last_refusal = f"status {status}: {body[:REFUSAL_BYTES].decode('utf-8', 'replace')}"
        return False

    def memory(self) -> ReportedMemory | None:
        """`GET /server_info`, of which nothing but the memory figures is kept."""
        try:
            status, body = self._request("GET", "/server_info", None, INFO_TIMEOUT_SECONDS)
            info = json.loads(body)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        if status != http.client.OK or not isinstance(info, dict):
            return None
        return read_server_info(info)

    def abort_requests(self) -> bool:
        """`POST /abort_request` for all. It wants the admin key where the server has one."""
        try:
            status, _ = self._request(
                "POST", "/abort_request", {"abort_all": True}, ABORT_TIMEOUT_SECONDS, admin=True
            )
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        timeout_seconds: float,
        *,
        admin: bool = False,
    ) -> tuple[int, bytes]:
        parts = urlsplit(self.base_url)
        # Named separately: the connection's time-out covers connect and each read.
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=timeout_seconds
        )
        headers = {"Content-Type": "application/json"}
        if key := self.admin_key if admin else self.api_key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class ReadinessWatch:
    """A thread that asks until the first token, then calls back once, with the memory figures.

    It asks for a token when the log said so (`hurry`) or when the server reports that it is up,
    whichever comes first: the log may be turned down to warnings.
    """

    def __init__(self, prober: Prober, on_ready: Callable[[ReportedMemory | None], None]) -> None:
        self._prober = prober
        self._on_ready = on_ready
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def hurry(self) -> None:
        """The server says that it is ready: ask now."""
        self._wake.set()

    def stop(self) -> None:
        """Ask no more. A probe under way ends by itself and is not reported."""
        self._stopped.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            hurried = self._wake.wait(POLL_SECONDS)
            if self._stopped.is_set():
                return
            if (hurried or self._prober.is_up()) and self._prober.generate(
                PROBE_TOKENS, timeout_seconds=PROBE_TIMEOUT_SECONDS
            ):
                memory = self._prober.memory()
                if not self._stopped.is_set():
                    self._on_ready(memory)
                return
            if hurried:
                # It was said too early; fall back to the usual pace.
                self._stopped.wait(POLL_SECONDS)

"""Asks a running vLLM over HTTP."""

from __future__ import annotations

import http.client
import json
import math
from dataclasses import dataclass
from typing import Any, Final

from launcher.engines.common.asking import ask
from launcher.engines.prober import Completion
from launcher.memory.report import ReportedMemory
from launcher.names import LAST_OUTPUT_ROUTE

STATUS_TIMEOUT_SECONDS: Final = 1.0
REFUSAL_BYTES: Final = 200
COMPLETIONS_ROUTE: Final = "/v1/completions"


@dataclass(slots=True)
class VllmProber:
    """Asks a server over HTTP, past any proxy; see `launcher.engines.prober.Prober`.

    `model` is the name that it serves, `api_key` is sent where the server wants one.
    """

    base_url: str
    model: str
    api_key: str | None = None
    last_refusal: str | None = None

    def is_up(self) -> bool:
        """`GET /health`: 200 while its core has not died; it never wants a key."""
        try:
            status, _ = self._request("GET", "/health", None, STATUS_TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """`POST /v1/completions`. vLLM aborts it when the connection closes at the time-out."""
        try:
            status, body = self._complete("1", tokens, timeout_seconds)
        except (OSError, http.client.HTTPException) as error:
            self.last_refusal = f"{type(error).__name__}: {error}"
            return False
        try:
            generated = int(json.loads(body)["usage"]["completion_tokens"])
        except (ValueError, KeyError, TypeError):
            generated = 0
        if status == http.client.OK and generated >= 1:
            return True
        self.last_refusal = f"status {status}: {body[:REFUSAL_BYTES].decode('utf-8', 'replace')}"
        return False

    def complete(self, prompt: str, tokens: int, *, timeout_seconds: float) -> Completion:
        """The same, whose answer does not tell how many verify steps it took."""
        try:
            status, body = self._complete(prompt, tokens, timeout_seconds)
            if status != http.client.OK:
                raise OSError(None, f"status {status}")
            answer = json.loads(body)
            text = str(answer["choices"][0]["text"])
            return Completion(text, int(answer["usage"]["completion_tokens"]), None)
        except (ValueError, LookupError, TypeError, http.client.HTTPException) as bad:
            raise OSError(None, f"no completion: {type(bad).__name__}") from bad

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:
        """`GET` of the route that our middleware adds to vLLM's: `specserve_vllm.guard`."""
        try:
            status, body = self._request("GET", LAST_OUTPUT_ROUTE, None, timeout_seconds)
            seconds = json.loads(body)["seconds_ago"] if status == http.client.OK else None
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            return math.inf
        if status != http.client.OK:
            return None
        return seconds if isinstance(seconds, int | float) else math.inf

    def memory(self) -> ReportedMemory | None:
        """It has no route that tells."""
        return None

    def abort_requests(self) -> bool:
        """It has no such route: at its own deadline it aborts what is left."""
        return False

    def settle(self) -> bool:
        """It freezes its garbage collectors itself: utils/gc_utils.py, `freeze_gc_heap`."""
        return True

    def _complete(self, prompt: str, tokens: int, timeout_seconds: float) -> tuple[int, bytes]:
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        return self._request("POST", COMPLETIONS_ROUTE, body, timeout_seconds)

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_seconds: float
    ) -> tuple[int, bytes]:
        return ask(
            f"{self.base_url}{path}",
            timeout_seconds=timeout_seconds,
            method=method,
            body=body,
            key=self.api_key,
        )

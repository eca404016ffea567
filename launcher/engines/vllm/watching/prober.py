"""Asks a running vLLM over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from launcher.engines.common import probing
from launcher.engines.common.asking import ask
from launcher.engines.prober import Completion
from launcher.memory.report import ReportedMemory
from launcher.names import LAST_OUTPUT_ROUTE

STATUS_TIMEOUT_SECONDS: Final = 1.0
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
        return probing.succeeds(
            lambda: self._request("GET", "/health", None, STATUS_TIMEOUT_SECONDS)
        )

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """`POST /v1/completions`. vLLM aborts it when the connection closes at the time-out."""
        refusal = probing.why_no_token(
            lambda: self._complete("1", tokens, timeout_seconds),
            lambda answer: answer["usage"]["completion_tokens"],
        )
        self.last_refusal = refusal or self.last_refusal
        return refusal is None

    def complete(self, prompt: str, tokens: int, *, timeout_seconds: float) -> Completion:
        """The same, whose answer does not tell how many verify steps it took."""

        def read(answer: Any) -> Completion:
            text = str(answer["choices"][0]["text"])
            return Completion(text, int(answer["usage"]["completion_tokens"]), None)

        return probing.completion(lambda: self._complete(prompt, tokens, timeout_seconds), read)

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:
        """`GET` of the route that our middleware adds to vLLM's: `specserve_vllm.guard`."""
        return probing.seconds_since_output(
            lambda: self._request("GET", LAST_OUTPUT_ROUTE, None, timeout_seconds)
        )

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

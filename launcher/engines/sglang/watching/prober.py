"""Asks a running SGLang over HTTP, and reads what it says of its own memory."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from launcher.engines.common import probing
from launcher.engines.common.asking import ask
from launcher.engines.prober import Completion
from launcher.memory.report import ReportedMemory
from launcher.names import LAST_OUTPUT_ROUTE
from launcher.system.hardware import GIB

STATUS_TIMEOUT_SECONDS: Final = 1.0
ABORT_TIMEOUT_SECONDS: Final = 2.0
INFO_TIMEOUT_SECONDS: Final = 5.0


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
        return probing.succeeds(
            lambda: self._request("GET", "/ready", None, STATUS_TIMEOUT_SECONDS)
        )

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """`POST /generate`. SGLang aborts it when the connection closes at the time-out."""
        refusal = probing.why_no_token(
            lambda: self._request("POST", "/generate", _greedy("1", tokens), timeout_seconds),
            lambda answer: answer["meta_info"]["completion_tokens"],
        )
        self.last_refusal = refusal or self.last_refusal
        return refusal is None

    def complete(self, prompt: str, tokens: int, *, timeout_seconds: float) -> Completion:
        """`POST /generate`, whose answer tells how many verify steps it took."""

        def read(answer: Any) -> Completion:
            said = answer["meta_info"]
            tokens = int(said["completion_tokens"])
            return Completion(str(answer["text"]), tokens, said.get("spec_verify_ct"))

        return probing.completion(
            lambda: self._request("POST", "/generate", _greedy(prompt, tokens), timeout_seconds),
            read,
        )

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:
        """`GET` of the route that plugins/lifecycle/last_output.py adds to SGLang's."""
        return probing.seconds_since_output(
            lambda: self._request("GET", LAST_OUTPUT_ROUTE, None, timeout_seconds)
        )

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
        return probing.succeeds(
            lambda: self._request(
                "POST", "/abort_request", {"abort_all": True}, ABORT_TIMEOUT_SECONDS, admin=True
            )
        )

    def settle(self) -> bool:
        """`POST /freeze_gc`: objects that live as long as the server are not looked at again."""
        return probing.succeeds(
            lambda: self._request("POST", "/freeze_gc", None, INFO_TIMEOUT_SECONDS, admin=True)
        )

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        timeout_seconds: float,
        *,
        admin: bool = False,
    ) -> tuple[int, bytes]:
        return ask(
            f"{self.base_url}{path}",
            timeout_seconds=timeout_seconds,
            method=method,
            body=body,
            key=self.admin_key if admin else self.api_key,
        )


@dataclass(slots=True)
class FollowerProber:
    """Asks over HTTP whether a machine other than the first has joined.

    Its `/health` is there once its schedulers are ready, and says yes from then on, whatever they
    do: sglang 0.5.23, srt/utils/common.py, `launch_dummy_health_check_server`. So it tells of a
    start, and of nothing later: what hangs here hangs on machine 0 as well, which notices.
    """

    base_url: str
    last_refusal: str | None = None

    def is_up(self) -> bool:
        """`GET /health`, which wants no key."""
        try:
            status, _ = ask(f"{self.base_url}/health", timeout_seconds=STATUS_TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            self.last_refusal = f"{type(error).__name__}: {error}"
            return False
        return status == http.client.OK

    def generate(self, tokens: int, *, timeout_seconds: float) -> bool:
        """It generates nothing; whether it has joined."""
        del tokens, timeout_seconds
        return self.is_up()

    def seconds_since_output(self, *, timeout_seconds: float) -> float | None:
        """It cannot tell."""
        del timeout_seconds
        return None

    def memory(self) -> ReportedMemory | None:
        """It does not say."""
        return None

    def abort_requests(self) -> bool:
        """Machine 0 has the requests."""
        return False

    def settle(self) -> bool:
        """Nothing to do."""
        return False


def _greedy(prompt: str, tokens: int) -> dict[str, Any]:
    """The body of a request for so many tokens."""
    sampling = {"max_new_tokens": tokens, "temperature": 0, "ignore_eos": True}
    return {"text": prompt, "sampling_params": sampling}


class _MemoryUsage(BaseModel):
    """Source: sglang, managers/scheduler_components/memory_usage.py; sizes are in GiB."""

    weight: float
    kvcache: float
    token_capacity: int
    startup_available: float | None = None
    graph: dict[str, float] = {}


def read_server_info(info: Mapping[str, Any]) -> ReportedMemory | None:
    """The memory figures of an answer to `/server_info`; None where it has none that we know."""
    states = info.get("internal_states")
    state = states[0] if isinstance(states, list) and states else None
    if not isinstance(state, Mapping):
        return None
    try:
        usage = _MemoryUsage.model_validate(state.get("memory_usage"))
        return ReportedMemory(
            mem_fraction_static=info.get("mem_fraction_static"),
            weights_bytes=round(usage.weight * GIB),
            kv_cache_bytes=round(usage.kvcache * GIB),
            kv_cache_tokens=usage.token_capacity,
            graph_bytes=round(sum(usage.graph.values()) * GIB),
            free_bytes=_bytes(usage.startup_available),
            max_running_requests=info.get("max_running_requests"),
        )
    except ValidationError:
        return None


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else round(gib * GIB)

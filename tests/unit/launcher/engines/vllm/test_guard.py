"""What our middleware lets through, and what it tells; it runs inside vLLM's own process."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from launcher.engines.vllm.command import INSIDE, MODULE, SECRETS_FLAG
from launcher.names import LAST_OUTPUT_ROUTE
from tests.unit.launcher.examples import SECRET


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as vLLM's process imports it."""
    monkeypatch.syspath_prepend(str(INSIDE))
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module(f"{MODULE}.guard")
    for name in [name for name in sys.modules if name.startswith(MODULE)]:
        del sys.modules[name]


def answer(
    guard: ModuleType, path: str, key: str | None = None, *, method: str = "GET", **scope: Any
) -> tuple[int, Any]:
    """Status and content of the answer to a request; 299 where it was passed on."""
    sent: list[dict[str, Any]] = []

    async def passed_on(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [] if key is None else [(b"Authorization", f"Bearer {key}".encode())]
    request = {"type": "http", "path": path, "method": method, "headers": headers, **scope}
    asyncio.run(guard.Guard(passed_on)(request, None, send))
    if not sent or sent[0]["type"] == "websocket.close":
        return 0, sent
    body = sent[1]["body"] if len(sent) > 1 else b"null"
    return sent[0]["status"], json.loads(body)


def test_its_names_are_the_launcher_s(guard: ModuleType) -> None:
    start = importlib.import_module(f"{MODULE}.start")

    assert guard.LAST_OUTPUT_ROUTE == LAST_OUTPUT_ROUTE
    assert start.SECRETS_FLAG == SECRETS_FLAG
    assert f"{MODULE}.guard.Guard" == start.MIDDLEWARE


@pytest.mark.parametrize(
    "path", ["/v1/models", "/invocations", "/tokenize", "/docs", "//health", "/healthy"]
)
def test_every_route_wants_the_key(guard: ModuleType, path: str) -> None:
    guard.require(SECRET)

    assert answer(guard, path)[0] == 401
    assert answer(guard, path, "another")[0] == 401
    assert answer(guard, path, f"{SECRET}x")[0] == 401
    assert answer(guard, path, SECRET)[0] == 299


@pytest.mark.parametrize("path", ["/health", "/metrics", "/metrics/"])
def test_health_and_metrics_want_none(guard: ModuleType, path: str) -> None:
    guard.require(SECRET)

    assert answer(guard, path)[0] == 299


def test_the_path_before_the_routes_is_left_out(guard: ModuleType) -> None:
    guard.require(SECRET)

    assert answer(guard, "/base/health", root_path="/base")[0] == 299
    assert answer(guard, "/base/v1/models", root_path="/base")[0] == 401


def test_a_server_without_a_key_is_open(guard: ModuleType) -> None:
    assert answer(guard, "/v1/models")[0] == 299


def test_questions_of_browsers_and_of_the_server_itself_pass(guard: ModuleType) -> None:
    guard.require(SECRET)

    assert answer(guard, "/v1/models", method="OPTIONS")[0] == 299
    assert answer(guard, "", type="lifespan")[0] == 299


def test_a_socket_without_the_key_is_closed(guard: ModuleType) -> None:
    guard.require(SECRET)

    assert answer(guard, "/v1/realtime", type="websocket") == (
        0,
        [{"type": "websocket.close", "code": 1008}],
    )


def test_it_tells_when_the_last_output_came(
    guard: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OutputProcessor:
        def process_outputs(self, outputs: list[int], more: int = 0) -> int:
            return len(outputs) + more

    module = SimpleNamespace(OutputProcessor=OutputProcessor)
    for name in ("vllm", "vllm.v1", "vllm.v1.engine"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.output_processor", module)

    # Of a vLLM that has no such function the launcher asks its log.
    assert answer(guard, LAST_OUTPUT_ROUTE)[0] == 299
    guard.note_outputs()
    assert answer(guard, LAST_OUTPUT_ROUTE) == (200, {"seconds_ago": None})
    processor = module.OutputProcessor()
    assert processor.process_outputs([]) == 0
    assert answer(guard, LAST_OUTPUT_ROUTE)[1] == {"seconds_ago": None}
    assert processor.process_outputs([1, 2], more=3) == 5
    assert answer(guard, LAST_OUTPUT_ROUTE)[1]["seconds_ago"] >= 0
    guard.require(SECRET)
    assert answer(guard, LAST_OUTPUT_ROUTE)[0] == 401

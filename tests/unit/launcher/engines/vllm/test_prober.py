"""What is asked of a running vLLM, and what its answers say."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from launcher.engines.vllm.engine import VllmEngine
from launcher.engines.vllm.watching.prober import VllmProber
from launcher.names import LAST_OUTPUT_ROUTE
from tests.unit.launcher.examples import SECRET, make_config


class Answers(BaseHTTPRequestHandler):
    """Answers as vllm 0.32.0 did, for what a test chooses."""

    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    asked: ClassVar[list[tuple[str, Any, str | None]]] = []

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body: Any) -> None:
        self.asked.append((self.path, body, self.headers["Authorization"]))
        status, content = self.answers.get(self.path, (404, {"detail": "Not Found"}))
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def prober() -> Iterator[VllmProber]:
    Answers.answers, Answers.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = make_config(engine="vllm", port=server.server_address[1], served_model_name="tiny")
    yield VllmEngine().make_prober(config, {"api-key": SECRET})
    server.shutdown()
    server.server_close()


def test_a_token_is_asked_for_by_name_and_with_the_key(prober: VllmProber) -> None:
    Answers.answers["/v1/completions"] = (200, {"usage": {"completion_tokens": 1}})

    assert prober.generate(1, timeout_seconds=5)

    ((path, body, authorization),) = Answers.asked
    assert path == "/v1/completions"
    assert (body["model"], body["max_tokens"], body["ignore_eos"]) == ("tiny", 1, True)
    assert authorization == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"error": {"message": "EngineCore encountered an issue."}}),
        (200, {"usage": {"completion_tokens": 0}}),
        (200, {"usage": None}),
        (200, "no JSON"),
    ],
)
def test_an_answer_without_a_token_is_none(prober: VllmProber, answer: tuple[int, Any]) -> None:
    Answers.answers["/v1/completions"] = answer

    assert not prober.generate(1, timeout_seconds=5)
    assert str(prober.last_refusal).startswith(f"status {answer[0]}")
    with pytest.raises(OSError, match="completion|status"):
        prober.complete("1", 1, timeout_seconds=5)


def test_nobody_listens() -> None:
    prober = VllmProber("http://127.0.0.1:9", "tiny")

    assert not prober.is_up()
    assert not prober.generate(1, timeout_seconds=1)
    assert prober.seconds_since_output(timeout_seconds=1) == math.inf


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ((200, {"seconds_ago": 1.5}), 1.5),
        ((200, {"seconds_ago": None}), math.inf),
        ((200, "no JSON"), math.inf),
        # A vLLM in which our middleware cannot see outputs: the log is asked instead.
        ((404, {}), None),
    ],
)
def test_when_the_last_output_came(
    prober: VllmProber, answer: tuple[int, Any], seconds: float | None
) -> None:
    Answers.answers[LAST_OUTPUT_ROUTE] = answer

    assert prober.seconds_since_output(timeout_seconds=5) == seconds


def test_it_is_up_by_its_own_word_and_has_no_further_routes(prober: VllmProber) -> None:
    assert not prober.is_up()
    Answers.answers["/health"] = (200, "")

    assert prober.is_up()
    assert prober.memory() is None
    assert not prober.abort_requests()
    assert prober.settle()

"""What `/server_info` and `/metrics` say, read from text."""

from __future__ import annotations

import json

import httpx
import pytest

from clients import MalformedReplyError, NotFoundError, ServerInfo, ServerMetrics
from tests.unit.clients.wire import Server

INFO = {
    "version": "0.5.23",
    "served_model_name": "nano",
    "model_path": "/models/nano",
    "api_key": "secret",
    "max_total_num_tokens": 65536,
    "speculative_algorithm": "EAGLE",
    "internal_states": [{"avg_spec_accept_length": 3.25}],
}
TEXT = """\
# HELP sglang:num_running_reqs The number of running requests
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="nano",tp_rank="0"} 2.0
sglang:num_running_reqs{model_name="nano",tp_rank="1"} 3.0
# HELP sglang:spec_accept_length Mean acceptance length
# TYPE sglang:spec_accept_length gauge
sglang:spec_accept_length{model_name="nano",tp_rank="0"} 2.5
sglang:spec_accept_length{model_name="nano",tp_rank="1"} 3.0
# HELP sglang:generation_tokens_total Number of generation tokens
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="na\\"no"} 1e+03
"""


def test_server_info_is_a_typed_part_of_it_and_no_key() -> None:
    info = ServerInfo.from_body(json.dumps(INFO).encode())
    assert (info.version, info.max_total_num_tokens) == ("0.5.23", 65536)
    assert info.mean_acceptance_length == 3.25
    assert info.tp_size == 1
    assert "secret" not in repr(info)


def test_behind_a_gateway_the_same_is_asked_by_its_own_routes() -> None:
    unknown = httpx.Response(404, json={"error": {"message": "Invalid URL", "code": "unknown_url"}})
    server = Server(
        unknown, httpx.Response(200, json=INFO), unknown, httpx.Response(200, text=TEXT)
    )
    client = server.client()
    assert client.server_info().served_model_name == "nano"
    assert client.metrics().running_requests == 5
    assert [request.url.path for request in server.requests] == [
        "/server_info", "/get_server_info", "/metrics", "/engine_metrics",
    ]  # fmt: skip


def test_an_abort_behind_a_gateway_says_what_to_do_instead() -> None:
    unknown = httpx.Response(404, json={"error": {"message": "Invalid URL", "code": "unknown_url"}})
    with pytest.raises(NotFoundError, match="close the stream"):
        Server(unknown).client().abort("one")


@pytest.mark.parametrize("body", [b"[]", b"{}", b"no JSON", b""])
def test_what_is_no_server_info_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's own error is one too
        ServerInfo.from_body(body)
    with pytest.raises(MalformedReplyError):
        Server(httpx.Response(200, content=body)).client().server_info()


def test_metrics_add_up_ranks_and_take_the_largest_length() -> None:
    metrics = ServerMetrics.from_text(TEXT)
    assert metrics.running_requests == 5
    assert metrics.acceptance_length == 3.0
    assert metrics.generation_tokens == 1000
    assert metrics.queued_requests is None


def test_what_are_no_metrics_is_refused() -> None:
    with pytest.raises(MalformedReplyError):
        Server(httpx.Response(200, text="{not metrics")).client().metrics()

"""Which requests are sent again, and after how long."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients import (
    ClientError,
    ConnectionLostError,
    InternalServerError,
    ModelNotFoundError,
    RateLimitError,
    RetryPolicy,
    ServerUnreachableError,
)
from clients.http.retry import retry_pause_seconds
from tests.unit.clients import wire
from tests.unit.clients.wire import URL, Server, answered, streamed

POLICY = RetryPolicy(retries=3, first_pause_seconds=1.0, longest_pause_seconds=5.0)
REFUSED = ServerUnreachableError("refused", url=URL)


def pause(error: ClientError, attempt: int = 0, fraction: float = 0.0) -> float | None:
    return retry_pause_seconds(
        error, attempt=attempt, policy=POLICY, reads_only=False, fraction=fraction
    )


def test_pauses_double_up_to_the_longest_and_then_it_gives_up() -> None:
    policy = RetryPolicy(retries=5, first_pause_seconds=1.0, longest_pause_seconds=5.0)
    pauses = [
        retry_pause_seconds(REFUSED, attempt=n, policy=policy, reads_only=False, fraction=0.0)
        for n in range(6)
    ]
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0, None]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 2))
def test_jitter_takes_off_at_most_half(fraction: float, attempt: int) -> None:
    whole, jittered = pause(REFUSED, attempt), pause(REFUSED, attempt, fraction)
    assert whole is not None
    assert jittered is not None
    assert whole / 2 <= jittered <= whole


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (ConnectionLostError("cut", url=URL), True),
        (InternalServerError("bad gateway", url=URL, status=502, server_message="", request_id=None,
                             body=None), True),
        (ModelNotFoundError("no such model", url=URL, status=404, server_message="",
                            request_id=None, body=None), True),
        (InternalServerError("not there", url=URL, status=501, server_message="", request_id=None,
                             body=None), False),
    ],
)  # fmt: skip
def test_what_a_server_had_is_repeated_only_where_that_is_asked_for(
    error: ClientError,
    repeated: bool,  # noqa: FBT001 - of a table
) -> None:
    for asked_for in (False, True):
        policy = RetryPolicy(repeat_lost=asked_for)
        pause = retry_pause_seconds(error, attempt=0, policy=policy, reads_only=False, fraction=0.0)
        assert (pause is not None) == (asked_for and repeated)


def limited(retry_after: str) -> httpx.Response:
    return httpx.Response(429, headers={"retry-after": retry_after})


def test_retry_after_is_a_least_pause() -> None:
    with pytest.raises(RateLimitError) as caught:
        Server(limited("3")).client().chat("Hi")
    assert caught.value.retry_after_seconds == 3
    assert pause(caught.value) == 3
    assert pause(caught.value, attempt=2) == 4


def test_a_server_that_asks_for_too_long_a_pause_is_not_asked_again() -> None:
    server = Server(limited("3600"), answered(wire.completion()))
    with pytest.raises(RateLimitError):
        server.client(retries=5).chat("Hi")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (httpx.ReadError("cut"), ConnectionLostError),
        (httpx.Response(500, json=wire.error_body(500, "no")), InternalServerError),
    ],
    ids=["cut", "500"],
)
def test_what_the_server_may_have_begun_is_sent_once(
    failure: httpx.Response | Exception, error: type[ClientError]
) -> None:
    server = Server(failure, answered(wire.completion()))
    with pytest.raises(error):
        server.client(retries=5).chat("Hi")
    assert len(server.requests) == 1


def test_a_question_about_the_server_is_sent_again_after_a_cut() -> None:
    models = answered({"object": "list", "data": [{"id": "nano"}]})
    server = Server(httpx.ReadError("cut"), models)
    assert server.client(retries=1).models() == ("nano",)


def test_a_stream_is_sent_again_only_before_it_has_begun() -> None:
    body = streamed(wire.sse(wire.role(), wire.content("Hi"), wire.finish(), wire.usage()))
    server = Server(httpx.ConnectError("refused"), body)
    with server.client(retries=1).stream("Hi") as stream:
        assert stream.reply().content == "Hi"
    assert len(server.requests) == 2

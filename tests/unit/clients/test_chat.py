"""The client against recorded answers in one piece."""

from __future__ import annotations

import socket

import httpx
import pytest

from clients import (
    AuthenticationError,
    BadRequestError,
    ChatClient,
    ConnectionLostError,
    InternalServerError,
    MalformedReplyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    ServerUnreachableError,
    ServiceUnavailableError,
    StatusError,
    Timeouts,
    Timings,
    ToolCall,
    UnprocessableEntityError,
    Usage,
    run_record_path,
)
from tests.unit.clients import wire
from tests.unit.clients.records import make_record, write_record
from tests.unit.clients.wire import MODEL, REQUEST_ID, URL, Server, answered


def test_reply_holds_what_the_server_said() -> None:
    server = Server(answered(wire.completion("Hello.", thoughts="Greet.")))
    now_ns = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal now_ns
        now_ns += 2_000_000_000
        return server(request)

    http_client = httpx.Client(transport=httpx.MockTransport(answer))
    client = ChatClient(URL, model=MODEL, http_client=http_client, clock_ns=lambda: now_ns)
    reply = client.chat("Hi", max_tokens=7, thinking=True)
    assert reply.content == "Hello."
    assert reply.reasoning == "Greet."
    assert reply.tool_calls == ()
    assert reply.finish_reason == "stop"
    assert reply.usage == Usage(11, 7, 18, reasoning_tokens=3)
    assert reply.timings == Timings(total_seconds=2.0)
    assert reply.model == MODEL
    assert reply.request_id == REQUEST_ID


def test_request_is_what_sglang_takes() -> None:
    server = Server(answered(wire.completion()))
    server.client().chat("Hi", max_tokens=7, thinking=False, extra={"top_k": 1})
    assert str(server.requests[0].url) == f"{URL}/v1/chat/completions"
    assert server.body == {
        "messages": [{"role": "user", "content": "Hi"}],
        "model": MODEL,
        "max_completion_tokens": 7,
        "chat_template_kwargs": {"enable_thinking": False},
        "top_k": 1,
    }


def test_tool_calls_are_read_in_order() -> None:
    calls = [
        wire.call(0, "call_a", "weather", arguments='{"city": "Rome"}'),
        wire.call(1, "call_b", "time", arguments={"zone": "é"}),
    ]
    body = wire.completion("", tool_calls=calls, finish_reason="tool_calls")
    reply = Server(answered(body)).client().chat("Hi")
    assert reply.content == ""
    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls == (
        ToolCall("call_a", "weather", '{"city": "Rome"}'),
        ToolCall("call_b", "time", '{"zone": "é"}'),
    )


def test_whole_answer_as_reasoning_is_not_lost() -> None:
    reply = Server(answered(wire.completion("", thoughts="42"))).client().chat("Hi")
    assert (reply.content, reply.reasoning, reply.finish_reason) == ("", "42", "stop")


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": "Because."},
        {"reasoning": "Because.", "reasoning_content": None},
        {"reasoning": "Because.", "reasoning_content": ""},
        {"reasoning": "Because.", "reasoning_content": "Because."},
        {"reasoning": None, "reasoning_content": "Because."},
    ],
)
def test_reasoning_is_read_under_both_names(fields: dict[str, str | None]) -> None:
    body = wire.completion()
    message = body["choices"][0]["message"]
    del message["reasoning_content"]
    message.update(fields)
    assert Server(answered(body)).client().chat("Hi").reasoning == "Because."


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("\n<think>Sum.", "Sum."),
        ("<think>Sum.", "Sum."),
        ("The mark <think> is text.", "The mark <think> is text."),
    ],
)
def test_the_mark_that_opens_reasoning_is_no_part_of_it(sent: str, read: str) -> None:
    server = Server(answered(wire.completion("5", thoughts=sent)))
    assert server.client().chat("2 + 3").reasoning == read


def test_the_line_break_that_begins_an_answer_is_no_part_of_it() -> None:
    body = wire.completion("\n\nHello.\n", thoughts="\nGreet.\n")
    reply = Server(answered(body)).client().chat("Hi")
    assert (reply.reasoning, reply.content) == ("Greet.\n", "\nHello.\n")


def test_usage_details_of_openai_and_of_the_cache_report_are_read() -> None:
    counts = {
        **wire.USAGE,
        "reasoning_tokens": None,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    usage = Server(answered(wire.completion(counts=counts))).client().chat("Hi").usage
    assert usage == Usage(11, 7, 18, reasoning_tokens=3, cached_tokens=8)


def test_server_that_reports_nothing_is_not_guessed_for() -> None:
    body = wire.completion(counts=None, finish_reason=None)
    reply = Server(answered(body)).client().chat("Hi")
    assert reply.usage is None
    assert reply.finish_reason is None


def test_model_of_the_call_wins_over_the_clients() -> None:
    server = Server(answered(wire.completion()))
    server.client().chat("Hi", model="base:adapter")
    assert server.body["model"] == "base:adapter"


def test_server_is_asked_once_for_a_model_that_nobody_named() -> None:
    models = answered({"object": "list", "data": [{"id": "nano"}, {"id": "adapter"}]})
    server = Server(models, answered(wire.completion()))
    client = server.client(model=None)
    client.chat("Hi")
    client.chat("Hi")
    paths = [request.url.path for request in server.requests]
    assert paths == ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"]
    assert server.body["model"] == "nano"


def test_server_without_a_model_is_no_chat_server() -> None:
    server = Server(answered({"object": "list", "data": []}))
    with pytest.raises(MalformedReplyError, match="lists no model"):
        server.client(model=None).chat("Hi")


def test_run_record_gives_url_key_and_model() -> None:
    key_file = run_record_path().parent / "key"
    server = Server(answered(wire.completion()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        write_record(make_record(port, api_key_file=str(key_file)))
        key_file.write_text("secret\n")
        client = server.client(base_url=None, model=None)
        client.chat("Hi")
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    assert str(server.requests[0].url) == url
    assert server.requests[0].headers["authorization"] == "Bearer secret"
    assert server.body["model"] == "glm-4.5-air"
    assert "secret" not in repr(client)


def test_no_key_means_no_header_and_never_another_services_key() -> None:
    server = Server(answered(wire.completion()))
    server.client().chat("Hi")
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("key", [None, "ours"])
def test_nothing_of_another_services_environment_is_sent(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    for name in ("OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: theirs\nX-Gateway: theirs")
    server = Server(answered({**wire.completion(), "data": [{"id": "nano"}]}))
    client = server.client(api_key=key, model=None)
    client.chat("Hi")
    client.models()
    for request in server.requests:
        assert "theirs" not in request.headers.values()
        assert request.headers.get("authorization") == (key and f"Bearer {key}")


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, StatusError),
        (422, UnprocessableEntityError),
        (429, RateLimitError),
        (500, InternalServerError),
        (503, ServiceUnavailableError),
    ],
)
def test_each_status_has_its_error(status: int, error_class: type[StatusError]) -> None:
    body = wire.error_body(status, "Messages cannot be empty.")
    response = httpx.Response(status, json=body, headers={"x-request-id": "req-1"})
    with pytest.raises(error_class) as caught:
        Server(response).client().chat([])
    error = caught.value
    assert type(error) is error_class
    assert error.status == status
    assert error.server_message == "Messages cannot be empty."
    assert error.request_id == "req-1"
    assert error.body == body
    assert error.__cause__ is not None
    assert f"{URL}/v1/chat/completions answered {status}: Messages cannot" in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_abort_names_the_admin_key(status: int) -> None:
    server = Server(answered({"error": "Unauthorized"}, status))
    with pytest.raises(StatusError) as caught:
        server.client(api_key="mine").abort("r")
    assert "the admin key, not the API key" in caught.value.action
    assert "SPECSERVE_ADMIN_KEY" in str(caught.value)
    assert "mine" not in str(caught.value)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (answered({"error": "Unauthorized"}, 401), "Unauthorized"),
        (answered({"detail": "Not Found"}, 404), "Not Found"),
        (httpx.Response(502, text="Bad Gateway"), "Bad Gateway"),
        (httpx.Response(503), ""),
    ],
    ids=["sglang-key", "fastapi-route", "proxy", "sglang-starting"],
)
def test_servers_words_are_found_in_every_shape(response: httpx.Response, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        Server(response).client().chat("Hi")
    assert caught.value.server_message == message


def test_message_that_repeats_the_request_is_shortened_but_kept() -> None:
    message = "Input is too long. " * 200
    with pytest.raises(BadRequestError) as caught:
        Server(answered(wire.error_body(400, message), 400)).client().chat("Hi")
    assert len(str(caught.value)) < 700
    assert caught.value.server_message == message


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectTimeout("slow"), "connect"),
        (httpx.ReadTimeout("slow"), "total"),
        (httpx.WriteTimeout("slow"), "write"),
        (httpx.PoolTimeout("slow"), "pool"),
    ],
)
def test_time_out_says_of_which_kind(failure: Exception, kind: str) -> None:
    with pytest.raises(RequestTimeoutError, match=kind) as caught:
        Server(failure).client().chat("Hi")
    assert caught.value.kind == kind
    assert caught.value.url == f"{URL}/v1/chat/completions"


def test_connection_that_is_cut_is_not_one_that_was_refused() -> None:
    failure = httpx.RemoteProtocolError("Server disconnected without sending a response.")
    with pytest.raises(ConnectionLostError, match="Server disconnected"):
        Server(failure).client().chat("Hi")


def test_real_refused_connection() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody can take it
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with ChatClient(url, model="m", retry=RetryPolicy(retries=0)) as client:
            with pytest.raises(ServerUnreachableError, match=url):
                client.chat("Hi")
            assert client.health() == "unreachable"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>Welcome</html>", headers={"content-type": "text/html"}),
        httpx.Response(200, text="{", headers={"content-type": "application/json"}),
        answered({"object": "chat.completion", "choices": []}),
        answered({}),
    ],
    ids=["html", "torn", "no-choices", "empty"],
)
def test_other_servers_answer_is_refused(response: httpx.Response) -> None:
    with pytest.raises(MalformedReplyError, match="did not answer as a chat server"):
        Server(response).client().chat("Hi")


def test_busy_server_is_asked_again() -> None:
    busy = httpx.Response(503, headers={"retry-after-ms": "1"})
    server = Server(busy, answered(wire.completion("Hello.")))
    assert server.client(retries=1).chat("Hi").content == "Hello."
    assert len(server.requests) == 2


def test_models_are_named() -> None:
    body = {"object": "list", "data": [{"id": "nano", "object": "model"}, {"id": "adapter"}]}
    assert Server(answered(body)).client().models() == ("nano", "adapter")


def test_models_of_another_server() -> None:
    with pytest.raises(MalformedReplyError):
        Server(httpx.Response(200, text="hello")).client().models()


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (httpx.Response(200), "healthy"),
        (httpx.Response(503), "unhealthy"),
        (httpx.ReadTimeout("slow"), "unhealthy"),
        (httpx.ConnectError("refused"), "unreachable"),
    ],
)
def test_health(answer: httpx.Response | Exception, health: str) -> None:
    server = Server(answer)
    assert server.client(api_key="secret").health() == health
    assert str(server.requests[0].url) == f"{URL}/health"
    # SGLang's own limit is 20 s.
    assert server.requests[0].extensions["timeout"]["read"] > 20


def test_wait_for_bytes_and_for_a_connection_are_set_apart() -> None:
    server = Server(answered(wire.completion()))
    http_client = httpx.Client(transport=httpx.MockTransport(server))
    ChatClient(
        URL,
        model="m",
        timeouts=Timeouts(connect_seconds=2, total_seconds=9),
        http_client=http_client,
    ).chat("Hi")
    limits = server.requests[0].extensions["timeout"]
    assert limits["connect"] == 2
    assert 8 < limits["read"] <= 9


def test_client_closes_its_own_transport_only() -> None:
    with ChatClient(URL, model="m") as own:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        own.chat("Hi")
    server = Server(answered(wire.completion()))
    given = server.client()
    given.close()
    assert given.chat("Hi").content == "Hello."


def test_proxy_of_the_environment_is_not_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ChatClient("http://127.0.0.1:8000") as near, ChatClient("http://far.test") as far:
        assert near._http.trust_env is False
        assert far._http.trust_env is True


def test_unknown_option_is_refused_before_anything_is_sent() -> None:
    server = Server(answered(wire.completion()))
    with pytest.raises(TypeError, match="max_token"):
        server.client().chat("Hi", max_token=3)  # type: ignore[call-arg]
    assert server.requests == []

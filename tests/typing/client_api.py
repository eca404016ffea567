"""How an app uses `clients`; mypy alone reads it, and shows a change of types that breaks apps."""

from __future__ import annotations

from typing import assert_never, assert_type

import pydantic

import clients


def ask(client: clients.ChatClient) -> str:
    """Use the reply."""
    reply = client.chat("Hi", max_tokens=16, temperature=0, thinking=False, stop=["\n"])
    assert_type(reply, clients.ChatReply)
    assert_type(reply.content, str)
    assert_type(reply.reasoning, str)
    assert_type(reply.tool_calls, tuple[clients.ToolCall, ...])
    assert_type(reply.finish_reason, str | None)
    assert_type(reply.usage, clients.Usage | None)
    assert_type(reply.timings.time_to_first_token_seconds, float | None)
    assert_type(reply.timings.time_per_output_token_seconds, float | None)
    assert_type(reply.timings.total_seconds, float)
    return reply.content


def converse(client: clients.ChatClient) -> clients.ChatReply:
    """Pass plain dictionaries and shared options."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    options: clients.ChatOptions = {"seed": 1, "tool_choice": "auto", "extra": {"top_k": 1}}
    tools = [{"type": "function", "function": {"name": "now", "parameters": {}}}]
    client.chat(messages, tools=tools, tool_choice={"type": "function"})
    reply = client.chat(messages, **options)
    return client.chat([*messages, reply, reply.as_message()])


def show(event: clients.StreamEvent) -> str:  # noqa: PLR0911 - one for each event
    """Tell every event apart: mypy complains here when one is added."""
    match event:
        case clients.ContentDelta(text) | clients.ReasoningDelta(text):
            return text
        case clients.ToolCallStarted(index=index, name=name):
            return f"{index} {name}"
        case clients.ToolArgumentsDelta(text=text):
            return text
        case clients.ToolCallDone(arguments=arguments):
            return arguments
        case clients.Acceptance(length=length):
            return f"{length:.2f}"
        case clients.Usage(completion_tokens=tokens):
            return str(tokens)
        case clients.Restarted(reason=reason):
            return reason
        case clients.Started(request_id=request_id):
            return request_id
        case clients.Done(finish_reason=reason):
            return reason
        case _:
            assert_never(event)


def read(client: clients.ChatClient) -> clients.ChatReply:
    """Stream, and keep what arrived of a stream that broke."""
    with client.stream("Hi", model="nano") as stream:
        assert_type(stream, clients.ChatStream)
        try:
            for event in stream:
                assert_type(event, clients.StreamEvent)
                show(event)
        except clients.BrokenStreamError as error:
            assert_type(error.request_id, str | None)
            return error.partial
        except clients.StatusError as error:
            assert_type(error.status, int)
            raise
        return stream.reply()


def look() -> tuple[clients.Health, tuple[str, ...]]:
    """Find the server by its run record."""
    with clients.ChatClient(
        server="default", timeouts=clients.Timeouts(total_seconds=30)
    ) as client:
        assert_type(client, clients.ChatClient)
        return client.health(), client.models()


class Port(pydantic.BaseModel):
    """A structured answer."""

    port: int


@clients.tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def halve(number: int) -> int:
    """Halve a number: a plain function is a tool, too."""
    return number // 2


def use_tools(client: clients.ChatClient) -> clients.ToolRun:
    """Call functions, and ask for an instance."""
    assert_type(double(2), int)
    assert_type(client.parse("Which port?", Port, thinking=False), Port)
    assert_type(client.parse("Which ports?", list[Port]), list[Port])
    return client.run_tools("Double 2", [double, halve], max_rounds=2, stream=True)


async def wait(client: clients.AsyncChatClient) -> None:
    """The same, awaited."""
    assert_type(await client.chat("Hi"), clients.ChatReply)
    assert_type(await client.parse("Which port?", Port), Port)
    async with client.stream("Hi") as stream:
        assert_type(stream, clients.AsyncChatStream)
        async for event in stream:
            assert_type(event, clients.StreamEvent)
    assert_type(await client.stream("Hi"), clients.AsyncChatStream)


def wrong(client: clients.ChatClient) -> None:
    """Hold what must not type-check: an ignore that is not needed is an error too."""
    client.chat("Hi", thinking="yes")  # type: ignore[arg-type]
    client.chat("Hi", max_token=3)  # type: ignore[call-arg]
    client.chat("Hi").content = ""  # type: ignore[misc]

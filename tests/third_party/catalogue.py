"""Which clients there are, and what is tried with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

# A feature and how the documentation calls it, in the order of its table.
FEATURES: Final = {
    "chat": "chat",
    "stream": "stream, with usage",
    "reasoning": "reasoning",
    "reasoning_streamed": "reasoning, streamed",
    "tool_call": "tool call",
    "tool_call_streamed": "tool call, streamed",
    "tool_loop": "tool's result handed back",
    "agent_loop": "an agent's task of two calls",
    "structured": "structured output",
    "unknown_tool": "call of a tool not offered",
    "unknown_tool_streamed": "the same, streamed",
    "too_long": "too long a prompt",
    "at_once": "8 at once",
    "loopback_only": "no connection elsewhere",
}
OF_AGENTS: Final = tuple(FEATURES)
# The others leave it to the program to call the tools again and again until there is an answer.
ALL: Final = tuple(name for name in FEATURES if name != "agent_loop")
# Nothing counts the connections of a program in Node.
IN_NODE: Final = tuple(name for name in ALL if name != "loopback_only")
# instructor gives instances of a class, and nothing else.
OF_INSTANCES: Final = ("stream", "tool_call", "structured", "unknown_tool", "too_long", "at_once",
                       "loopback_only")  # fmt: skip
OF_OURS: Final = ("chat", "stream", "reasoning", "reasoning_streamed", "tool_call_streamed",
                  "tool_loop", "structured", "too_long", "at_once", "loopback_only")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Client:
    """A client, and the program that tries it.

    Attributes:
        name: as in the table.
        program: a module of `python/`, or a file of `node/`.
        package: whose version counts, by the name that its registry has for it.
        runs_in: `python` and `node`: with the newest packages; `project`: with this project's own.
        features: what is tried.
    """

    name: str
    program: str
    package: str
    runs_in: Literal["python", "node", "project"] = "python"
    features: tuple[str, ...] = ALL


CLIENTS: Final = (
    Client("openai (Python)", "openai_sdk", "openai"),
    Client("anthropic", "anthropic_sdk", "anthropic"),
    Client("LangChain", "langchain_sdk", "langchain-openai", features=OF_AGENTS),
    Client("LiteLLM", "litellm_sdk", "litellm"),
    Client("pydantic-ai", "pydantic_ai_sdk", "pydantic-ai-slim", features=OF_AGENTS),
    Client("instructor", "instructor_sdk", "instructor", features=OF_INSTANCES),
    Client("openai-agents", "agents_sdk", "openai-agents", features=OF_AGENTS),
    Client("smolagents", "smolagents_sdk", "smolagents", features=("agent_loop", "loopback_only")),
    Client("openai (npm)", "openai_sdk.mjs", "openai", "node", IN_NODE),
    Client("Vercel AI SDK", "vercel_sdk.mjs", "@ai-sdk/openai-compatible", "node", IN_NODE),
    Client("ours, newest openai", "our_client", "openai", features=OF_OURS),
    Client("ours, SGLang's openai", "our_client", "openai", "project", OF_OURS),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What our server does wrong; each is an expected failure, until it is mended.

    Attributes:
        reason: the fault.
        clients: whose users see it.
        features: in which of these.
    """

    reason: str
    clients: frozenset[str]
    features: frozenset[str]


# None at present. An entry lasts until the fault is mended: its tests, strict, then say so.
FAULTS: Final[tuple[Fault, ...]] = ()


def fault(client: Client, feature: str) -> Fault | None:
    """Give the known fault of the server that this feature shows with this client, if any."""
    return next(
        (one for one in FAULTS if client.name in one.clients and feature in one.features), None
    )

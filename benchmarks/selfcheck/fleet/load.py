"""Requests at a fleet, so many at a time, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from clients import AsyncChatClient, ClientError, ContentDelta, ReasoningDelta, RetryPolicy

Outcome = Literal["answered", "cut", "lost"]

ANSWER_TOKENS: Final = 24
# A gateway that was killed is back within seconds; the last pauses are eight seconds long.
PATIENT: Final = RetryPolicy(
    retries=12, first_pause_seconds=0.25, longest_pause_seconds=8.0, repeat_lost=True
)
_QUESTIONS: Final = (
    "What is {0} + {1}?",
    "Count from {0} to {1}.",
    "Write a Python function that adds {0} to its argument.",
    "Tell me about the number {0}.",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        streamed: whether its answer was read as it came.
        outcome: `cut`: tokens came, and then an error; `lost`: an error without a token.
        began_at: when it was sent, in monotonic seconds.
        ended_at: when its answer, or its error, was there.
        error: the class of it; "" where there was none.
    """

    streamed: bool
    outcome: Outcome
    began_at: float
    ended_at: float
    error: str = ""


async def load(
    url: str,
    *,
    requests: int,
    at_once: int,
    api_key: str | None = None,
    retry: RetryPolicy = PATIENT,
    done: Callable[[int], None] = lambda _: None,
) -> list[Asked]:
    """Send requests, every other one streamed.

    Args:
        url: of the gateway.
        requests: how many.
        at_once: as many are under way.
        api_key: of the fleet.
        retry: how patient the client is.
        done: is told how many have ended.
    """
    numbers = iter(range(requests))
    results: list[Asked] = []

    async def work(client: AsyncChatClient) -> None:
        for number in numbers:
            results.append(await _ask(client, number))
            done(len(results))

    async with AsyncChatClient(url, api_key=api_key, retry=retry, model="nano") as client:
        await asyncio.gather(*(work(client) for _ in range(at_once)))
    return results


async def _ask(client: AsyncChatClient, number: int) -> Asked:
    question = _QUESTIONS[number % len(_QUESTIONS)].format(number, number + 7)
    streamed = number % 2 == 1
    began_at = time.monotonic()
    any_token = False
    try:
        if streamed:
            stream = client.stream(question, max_tokens=ANSWER_TOKENS, temperature=0.0)
            async with stream:
                async for event in stream:
                    any_token = any_token or isinstance(event, ContentDelta | ReasoningDelta)
        else:
            await client.chat(question, max_tokens=ANSWER_TOKENS, temperature=0.0)
    except ClientError as error:
        outcome: Outcome = "cut" if any_token else "lost"
        return Asked(streamed, outcome, began_at, time.monotonic(), type(error).__name__)
    return Asked(streamed, "answered", began_at, time.monotonic())

"""Asks for greedy answers token by token with their log-probabilities; never while times are taken.

One at a time, so that every prompt meets a batch of one. The baseline answers a second time, all
prompts at once: batches of other sizes round differently, as they do in service, and what differs
then differs without any speculation. That is the noise floor.

Source: `logprobs` and `top_logprobs` of OpenAI's chat completions; SGLang gives the tokens
of reasoning and of tool calls there too, before its parsers take the text apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import httpx

from benchmarks.errors import TargetError
from benchmarks.load.target import Target
from benchmarks.records import ScoredAnswer, ScoredToken
from benchmarks.workloads.workload import Prompt
from clients import AnswerLimits, ClientError
from clients.http.transport import RuledAsyncClient, Rules

ALTERNATIVES: Final = 5
TIMEOUT_SECONDS: Final = 600.0
# Log-probabilities take some hundred bytes a token.
_LIMITS: Final = AnswerLimits(body_bytes=256 * 1024**2)


def score(
    target: Target,
    prompts: Sequence[Prompt],
    *,
    arm: str,
    workload: str,
    repetition: int,
    at_once: bool = False,
) -> list[ScoredAnswer]:
    """Ask for each prompt's answer.

    Args:
        target: the server.
        prompts: to ask.
        arm: for the records.
        workload: for the records.
        repetition: for the records.
        at_once: send all together instead of one after the other.

    Returns:
        Shape [prompts], in their order.

    Raises:
        TargetError: the server gives no log-probabilities, or fails.
    """

    async def ask_all() -> list[ScoredAnswer]:
        headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
        async with RuledAsyncClient(
            Rules(_LIMITS, target.own),
            base_url=target.base_url,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        ) as http:

            async def ask(prompt: Prompt) -> ScoredAnswer:
                return ScoredAnswer(
                    arm=arm,
                    workload=workload,
                    prompt_id=prompt.id,
                    repetition=repetition,
                    tokens=await _ask(http, prompt, target.model),
                )

            if not at_once:
                return [await ask(prompt) for prompt in prompts]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(prompt)) for prompt in prompts]
            return [task.result() for task in tasks]

    try:
        return asyncio.run(ask_all())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _ask(http: httpx.AsyncClient, prompt: Prompt, model: str) -> tuple[ScoredToken, ...]:
    body = prompt.to_request(model, stream=False)
    body |= {"logprobs": True, "top_logprobs": ALTERNATIVES}
    try:
        answer = await http.post("/v1/chat/completions", json=body)
    except (httpx.HTTPError, ClientError) as error:
        why = error.problem if isinstance(error, ClientError) else type(error).__name__
        raise TargetError(
            f"Prompt {prompt.id!r} could not be scored: {why.rstrip('.')}.",
            action="See the server's log; `--scored-prompts 0` leaves the comparison out.",
        ) from error
    try:
        answer.raise_for_status()
        return read_tokens(answer.json())
    except (httpx.HTTPStatusError, ValueError) as error:
        raise TargetError(
            f"Prompt {prompt.id!r} could not be scored: the answer has no log-probabilities.",
            action="`--scored-prompts 0` leaves the comparison of outputs out.",
            evidence=(answer.text[:300],),
        ) from error


def read_tokens(completion: Any) -> tuple[ScoredToken, ...]:
    """The tokens of a chat completion.

    Args:
        completion: decoded JSON.

    Returns:
        Shape [completion tokens].

    Raises:
        ValueError: it has no log-probabilities.
    """
    try:
        said = completion["choices"][0]["logprobs"]["content"]
        return tuple(
            ScoredToken(
                text=_text(one),
                log_probability=one["logprob"],
                alternatives={_text(other): other["logprob"] for other in one["top_logprobs"]},
            )
            for one in said
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError("no log-probabilities") from error


def _text(token: dict[str, Any]) -> str:
    """The token's text; a part of a character, which text cannot hold, by its bytes."""
    text: str = token["token"]
    if "\ufffd" in text and token.get("bytes"):
        return "".join(f"\\x{byte:02x}" for byte in token["bytes"])
    return text

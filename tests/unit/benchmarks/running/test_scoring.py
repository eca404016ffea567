"""Log-probabilities as SGLang 0.5.23 gives them, and servers that give none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.errors import TargetError
from benchmarks.load.target import Target
from benchmarks.records import ScoredToken
from benchmarks.running.scoring import read_tokens, score
from tests.unit.benchmarks.load.wire import playing, prompts, read_request, with_length


def completion(*content: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"index": 0, "logprobs": {"content": list(content)}}]}


def token(text: str, octets: list[int] | None, logprob: float, *others: Any) -> dict[str, Any]:
    own = {"token": text, "bytes": octets, "logprob": logprob}
    return {**own, "top_logprobs": [own, *others]}


def test_each_token_has_its_alternatives_itself_included() -> None:
    other = {"token": "5", "bytes": [53], "logprob": -2.292840003967285}

    (read,) = read_tokens(completion(token("t", [116], -0.7155190706253052, other)))

    assert read == ScoredToken(
        text="t",
        log_probability=-0.7155190706253052,
        alternatives={"t": -0.7155190706253052, "5": -2.292840003967285},
    )


def test_parts_of_a_character_are_told_apart_by_their_bytes() -> None:
    """Two halves of different characters have one text, which stands for no character."""
    other = {"token": "\ufffd", "bytes": [0xE4, 0xB8], "logprob": -1.5}

    (read,) = read_tokens(completion(token("\ufffd", [0xF0, 0x9F], -0.25, other)))

    assert read.text == r"\xf0\x9f"
    assert read.alternatives == {r"\xf0\x9f": -0.25, r"\xe4\xb8": -1.5}


def test_whole_characters_are_their_text_and_so_is_one_without_bytes() -> None:
    read = read_tokens(
        completion(
            token("世", [0xE4, 0xB8, 0x96], -0.1),
            token(" ü", [32, 0xC3, 0xBC], -0.2),
            token("\ufffd", None, -0.3),
        )
    )

    assert [one.text for one in read] == ["世", " ü", "\ufffd"]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": None}}]},
        {"choices": [{"logprobs": {"content": [{"token": "a"}]}}]},
        "not an object",
    ],
)
def test_an_answer_without_log_probabilities_is_none(answer: Any) -> None:
    with pytest.raises(ValueError, match="no log-probabilities"):
        read_tokens(answer)


@contextmanager
def answering(body: bytes, status: bytes = b"200 OK") -> Iterator[tuple[Target, list[Any]]]:
    """A server in a thread: `score` has a loop of its own."""
    asked: list[Any] = []
    ready, over = threading.Event(), threading.Event()
    where: list[Target] = []

    async def handle(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append((await read_request(reader))[1])
            writer.write(with_length(body, status))

    async def serve() -> None:
        async with playing(handle) as target:
            where.append(target)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    try:
        yield where[0], asked
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("at_once", [True, False])
def test_every_prompt_is_scored_in_its_order(*, at_once: bool) -> None:
    body = (
        b'{"choices": [{"logprobs": {"content": [{"token": "a", "bytes": [97], "logprob": -1.0,'
        b' "top_logprobs": []}]}}]}'
    )
    with answering(body) as (target, asked):
        answers = score(
            target, prompts(3), arm="plain", workload="w", repetition=1, at_once=at_once
        )

    assert [one.prompt_id for one in answers] == ["p0", "p1", "p2"]
    assert {one.repetition for one in answers} == {1}
    assert answers[0].tokens == (ScoredToken(text="a", log_probability=-1.0),)
    assert {(one["logprobs"], one.get("stream", False)) for one in asked} == {(True, False)}


@pytest.mark.parametrize(
    ("body", "status"), [(b'{"choices": []}', b"200 OK"), (b"no", b"200 OK"), (b"", b"400 Bad")]
)
def test_a_server_that_gives_none_is_named_with_what_it_said(body: bytes, status: bytes) -> None:
    with answering(body, status) as (target, _), pytest.raises(TargetError, match="'p") as caught:
        score(target, prompts(2), arm="a", workload="w", repetition=0, at_once=True)

    assert caught.value.evidence == (body.decode(),)

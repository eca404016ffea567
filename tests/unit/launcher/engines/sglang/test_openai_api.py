"""What OpenAI's clients take for granted; tests/server asks the real routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.engines.sglang.plugins.openai_api import (
    is_served,
    one_id,
    only_strings,
    refuse_unknown_model,
)

CHUNKS = ['data: {"id":"a","n":1}\n\n', 'data: {"id":"b","n":2}\n\n', "data: [DONE]\n\n"]


class Serving:
    """SGLang's, as far as a name goes."""

    def __init__(self, *adapters: str) -> None:
        registry = SimpleNamespace(get_all_adapters=lambda: dict.fromkeys(adapters))
        self.tokenizer_manager = SimpleNamespace(
            served_model_name="nano", model_path="/models/nano", lora_registry=registry
        )

    def _parse_model_parameter(self, model: str) -> tuple[str, str | None]:
        base, _, adapter = model.partition(":")
        return base, adapter or None

    def create_error_response(self, message: str, **fields: Any) -> dict[str, Any]:
        return {"message": message, **fields}


def test_values_that_are_no_strings_become_json() -> None:
    spans = [{"version": "default", "start": 0, "end": 16}]
    metadata = only_strings({"weight_version": "default", "weight_versions": spans})
    assert metadata["weight_version"] == "default"
    assert json.loads(metadata["weight_versions"]) == spans


def test_strings_stay() -> None:
    assert only_strings({"weight_version": "1"}) == {"weight_version": "1"}


@pytest.mark.parametrize(("choices", "ids"), [(2, ["a", "a"]), (1, ["a", "b"]), (None, ["a", "b"])])
def test_a_stream_of_several_choices_has_one_id(choices: int | None, ids: list[str]) -> None:
    async def stream() -> AsyncIterator[str]:
        for chunk in CHUNKS:
            yield chunk

    async def received() -> list[str]:
        given = one_id(stream(), None, None, SimpleNamespace(n=choices), None)
        return [chunk async for chunk in given]

    *chunks, last = asyncio.run(received())
    assert [json.loads(chunk.removeprefix("data: "))["id"] for chunk in chunks] == ids
    assert [json.loads(chunk.removeprefix("data: "))["n"] for chunk in chunks] == [1, 2]
    assert last == CHUNKS[-1]


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("nano", True),
        ("/models/nano", True),
        ("default", True),
        ("nano:poet", True),
        ("poet", True),
        ("gpt-4o", False),
        ("poet2", False),
        ("gpt-4o:poet", False),
        ("", False),
    ],
)
def test_a_model_is_served_by_its_names_and_its_adapters(name: str, *, served: bool) -> None:
    assert is_served(name, Serving("poet")) is served


@pytest.mark.parametrize(
    ("path", "refused"),
    [("/v1/chat/completions", True), ("/v1/completions", True), ("/v1/messages", False)],
)
def test_another_model_is_refused_on_the_routes_of_openai(path: str, *, refused: bool) -> None:
    async def handle(*_: object) -> str:
        return "answered"

    request = SimpleNamespace(model="gpt-4o")
    raw = SimpleNamespace(url=SimpleNamespace(path=path))
    answer = asyncio.run(refuse_unknown_model(handle, Serving(), request, raw))
    if refused:
        assert (answer["status_code"], answer["param"]) == (404, "model")
        assert "'nano'" in answer["message"]
    else:
        assert answer == "answered"

"""What the scripts of `python/` share: requests, and checks of what comes back.

Only the standard library is imported: the scripts run in an environment that is not the project's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

CASES: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text())
MODEL: Final[str] = CASES["model"]
OPTIONS: Final[dict[str, Any]] = CASES["options"]
NO_THINKING: Final[dict[str, Any]] = CASES["no_thinking"]
TOOL: Final[dict[str, Any]] = {"type": "function", "function": CASES["weather"]}
# SGLang decodes under `regex`, so the model makes these calls whatever its weights say.
CALL: Final = {**NO_THINKING, "regex": CASES["weather_call"]}
UNKNOWN_CALL: Final = {**NO_THINKING, "regex": CASES["unknown_call"]}
TOO_LONG: Final[str] = CASES["too_long_word"] * CASES["too_long_words"]
_LOOPBACK: Final = (None, "", "127.0.0.1", "localhost", "::1", b"127.0.0.1", b"localhost")


class Limit(Exception):  # noqa: N818
    """The client, or the model, cannot do it; the text says whose limit it is and which."""


def messages(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def check_answer(text: str | None) -> None:
    """An answer is there, and nothing but the answer."""
    assert text, "the answer is empty"
    assert text == text.strip(), f"white space around the answer: {text!r}"


def check_reasoning(reasoning: str | None, answer: str | None) -> None:
    """Reasoning and answer are apart, and neither has the tags between them."""
    assert reasoning, "no reasoning"
    assert "think>" not in reasoning, f"a tag in the reasoning: {reasoning!r}"
    assert reasoning == reasoning.strip(), f"white space around the reasoning: {reasoning!r}"
    check_answer(answer)
    assert str(answer).endswith(CASES["sum_answer"]), f"another answer: {answer!r}"


def check_call(name: str | None, arguments: str | Mapping[str, object] | None) -> None:
    """The call is the one that the grammar asks for."""
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    assert (name, arguments) == (CASES["weather"]["name"], CASES["weather_arguments"])


def check_visible(*seen: object) -> str:
    """A call of a tool that was not offered shows: in content, as a call, or in an exception."""
    text = " ".join(map(str, seen))
    assert CASES["unknown_tool"] in text, f"nothing tells of the call: {text[:300]!r}"
    return "visible"


def check_refusal(error: BaseException) -> str:
    """The client's own exception has the server's words; returns the exception's name."""
    assert CASES["too_long_message"] in str(error), f"other words: {str(error)[:300]!r}"
    return f"raises {type(error).__name__}"


class Task:
    """A task that takes a call of each of two tools, and what an agent called for it."""

    def __init__(self) -> None:
        self.called: dict[str, str] = {}

    def tools(self) -> list[Callable[[str], str]]:
        """Make the two tools."""

        def get_weather(city: str) -> str:
            """Get the weather of a city."""
            return self.call("get_weather", city)

        def find_hotel(city: str) -> str:
            """Find a hotel in a city."""
            return self.call("find_hotel", city)

        return [get_weather, find_hotel]

    def call(self, name: str, argument: str) -> str:
        """Note a call and give its result."""
        assert name not in self.called, f"{name} is called again, with {argument!r}"
        self.called[name] = argument
        return str(CASES["task_results"][name])

    def check(self, answer: object) -> None:
        """Each tool was called once, as it was asked for, and the answer tells both results."""
        assert self.called == CASES["task_calls"], f"other calls: {self.called}"
        for result in CASES["task_results"].values():
            assert result in str(answer), f"{result!r} is not in the answer: {answer!r}"


def sums() -> list[str]:
    """As many different questions as are asked at once."""
    return [f"What is {20 + number} + 15?" for number in range(CASES["at_once"])]


def check_at_once(ask: Callable[[str], str | None]) -> None:
    """Ask in threads; see `check_same`."""
    questions = sums()
    with ThreadPoolExecutor(len(questions)) as pool:
        together = list(pool.map(ask, questions))
    check_same(together, [ask(question) for question in questions])


async def check_at_once_async(ask: Callable[[str], Awaitable[str | None]]) -> None:
    """Ask in tasks; see `check_same`."""
    together = await asyncio.gather(*map(ask, sums()))
    check_same(together, [await ask(question) for question in sums()])


def check_same(together: Sequence[str | None], alone: Sequence[str | None]) -> None:
    """Each answer is its own question's: the one that comes when nothing else is asked."""
    assert all(together), f"empty answers: {together}"
    assert list(together) == list(alone), f"at once {together}, alone {alone}"

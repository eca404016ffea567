"""The held-out sets of the evaluation: built by code, the same each time, no value of training."""

from collections.abc import Mapping
from typing import Final

from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Dialogue
from tools.nano.training.data import MAKERS

CHAT: Final = ("talk", "project", "turns", "unknown", "memory")


def _make(
    name: str, kinds: tuple[str, ...], count: int, *, thinking: bool | None
) -> list[Dialogue]:
    """Make dialogues of tasks in turn; thinking in turn, too, if it is None."""
    words = Words(f"evaluation/{name}", evaluation=True)
    return [
        MAKERS[kinds[number // 2 % len(kinds)]](
            words, thinking=number % 2 == 0 if thinking is None else thinking
        )
        for number in range(count)
    ]


def sets(share: float = 1.0) -> Mapping[str, list[Dialogue]]:
    """Return the sets under their names; `share` keeps the first part of each only."""
    made = {
        "all tasks": _make("all", tuple(MAKERS), 300, thinking=None),
        "chat": _make("chat", CHAT, 100, thinking=None),
        "tool": _make("tool", ("tool",), 100, thinking=None),
        "two calls": _make("two", ("two calls",), 50, thinking=None),
        "sums, thinking on": _make("on", ("sums",), 100, thinking=True),
        "sums, thinking off": _make("off", ("sums",), 100, thinking=False),
    }
    return {name: part[: max(1, round(len(part) * share))] for name, part in made.items()}


def history(dialogue: Dialogue) -> list[dict[str, object]]:
    """Return what is sent: everything before the last answer; reasoning of this turn alone."""
    sent = dialogue.messages[:-1]
    last_user = max(place for place, message in enumerate(sent) if message["role"] == "user")
    return [
        {
            key: value
            for key, value in message.items()
            if key != "reasoning_content" or place > last_user
        }
        for place, message in enumerate(sent)
    ]

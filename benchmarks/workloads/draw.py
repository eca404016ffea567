"""Seeded choices that stay the same on every machine and Python. Pure: no I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of choices, the same for the same key.

    Built on `random.Random.random` alone: it is the one method whose values Python promises to
    keep for a seed. `choice`, `sample` and `shuffle` have changed between versions.

    Args:
        key: what the stream belongs to, for example a workload's name, a seed and a number.
    """

    def __init__(self, *key: str | int) -> None:
        # Chooses prompts, keeps no secrets. A text as seed is hashed by sha512, not by `hash`.
        self._random = random.Random("/".join(map(str, key)))  # noqa: S311

    def unit(self) -> float:
        """A number from 0 to below 1."""
        return self._random.random()

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.between(0, len(options) - 1)]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """Different ones of the options, at most `count`, in an order of chance."""
        left = list(options)
        taken: list[T] = []
        while left and len(taken) < count:
            taken.append(left.pop(self.between(0, len(left) - 1)))
        return taken

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """All of the options, in an order of chance."""
        return self.some(options, len(options))

"""Sentences with slots, filled by seeded choices until a text has its length. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from benchmarks.workloads.draw import Draw

# Kept over one text: who is called Priya in its first sentence is so in its last.
FACTS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "person": (
            *("Priya", "Tomasz", "Elena", "Marcus", "Aiko", "Fatima", "Jonas", "Lucía", "Kwame"),
            *("Ingrid", "Mateo", "Hannah", "Yusuf", "Chloe", "Dmitri", "Amara", "Noah", "Leila"),
        ),
        "company": (
            *("Northwind Freight", "Halden Optics", "Brightwater Energy", "Castor Robotics"),
            *("Lumen Clinics", "Ferrow Bikes", "Tidemark Insurance", "Oakline Furniture"),
            *("Solstice Travel", "Quarry Street Bakery", "Meridian Labs", "Pinecone Software"),
        ),
        "city": (
            *("Lisbon", "Osaka", "Toronto", "Nairobi", "Leeds", "Gdańsk", "Austin", "Melbourne"),
            *("Lyon", "Bergen", "Pune", "Montevideo", "Valencia", "Graz", "Seattle", "Tallinn"),
        ),
        "team": (
            *("platform", "payments", "data", "customer success", "logistics", "security"),
            *("mobile", "procurement", "research", "field service"),
        ),
        "product": (
            *("scheduling app", "learning portal", "invoicing tool", "route planner"),
            *("customer survey", "staff handbook", "loyalty scheme", "spring catalogue"),
        ),
        "device": (
            *("heat pump", "warehouse scanner", "dishwasher", "fitness tracker", "e-reader"),
            *("label printer", "air purifier", "coffee machine", "door lock", "cargo bike"),
        ),
        "service": (
            *("checkout", "search", "ledger", "notifications", "inventory", "identity"),
            *("pricing", "uploads", "recommendations", "shipping"),
        ),
        "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
        "month": (
            *("January", "February", "March", "April", "May", "June", "July", "August"),
            *("September", "October", "November", "December"),
        ),
    }
)
# Drawn anew each time.
NUMBERS: Final[Mapping[str, Sequence[int]]] = MappingProxyType(
    {
        "few": range(3, 10),
        "count": range(11, 100),
        "many": range(120, 9_900, 7),
        "amount": range(45, 4_800, 5),
        "percent": range(3, 97),
        "hour": range(8, 19),
        "minute": range(10, 60),
        "day": range(1, 29),
        "year": range(2012, 2026),
        "code": range(10_000, 100_000),
    }
)
# `{person}`, `{person2}`; a brace of a piece of code has a space or a newline behind it.
SLOT: Final = re.compile(r"\{([a-z]+)(\d?)\}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its lengths: fields as in `benchmarks.workloads.workload.Prompt`."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


class Writer:
    """Fills the slots of sentences, with names that stay the same within one text.

    Args:
        draw: of this prompt.
        banks: further values to choose from, by the slot's name; kept as long.
    """

    def __init__(self, draw: Draw, banks: Mapping[str, Sequence[str]] | None = None) -> None:
        self._draw = draw
        self._banks = {**FACTS, **(banks or {})}
        self._facts: dict[str, str] = {}
        self._past: set[str] = set()
        self._used: set[str] = set()

    def fill(self, template: str) -> str:
        """The template with its slots filled: `{person}` is one of `FACTS`, `{person2}` another.

        Raises:
            KeyError: there is nothing to choose from for a slot.
        """
        return SLOT.sub(lambda match: self._value(match[1], match[0]), template)

    def text(self, sentences: Sequence[str], words: int) -> list[str]:
        """Sentences, filled, in an order of chance, until they have so many words together.

        None comes twice before `renew`, so there may be fewer words. Fewer than one word asked for
        gives none.
        """
        written: list[str] = []
        missing = words
        for template in self._draw.shuffled([one for one in sentences if one not in self._used]):
            if missing <= 0:
                break
            self._used.add(template)
            written.append(self.fill(template))
            missing -= count_words(written[-1])
        return written

    def renew(self) -> None:
        """Begin another text: other names, as far as there are any, and all sentences again."""
        self._past.update(self._facts.values())
        self._facts.clear()
        self._used.clear()

    def _value(self, bank: str, slot: str) -> str:
        if bank in NUMBERS:
            return str(self._draw.pick(NUMBERS[bank]))
        if slot not in self._facts:
            here = [one for one in self._banks[bank] if one not in self._facts.values()]
            new = [one for one in here if one not in self._past]
            self._facts[slot] = self._draw.pick(new or here or self._banks[bank])
        return self._facts[slot]


def count_words(text: str) -> int:
    """Parts between white space."""
    return len(text.split())


def paragraphs(sentences: Sequence[str], each: int) -> str:
    """Sentences as paragraphs of so many, with an empty line between them."""
    parts = [" ".join(sentences[at : at + each]) for at in range(0, len(sentences), each)]
    return "\n\n".join(parts)


def system(text: str) -> dict[str, Any]:
    """A message."""
    return {"role": "system", "content": text}


def user(text: str) -> dict[str, Any]:
    """A message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    """A message."""
    return {"role": "assistant", "content": text}

"""Failures that people met elsewhere, reworded: lines, exit code, what is to be found and said.

`public.json` and `seen.json` were known while the rules were written. docs/diagnoses.md says how
the rules did on those that were not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class PublicCase:
    """One log.

    `cause` is what is found; `says` stands in the problem or the action, `never` in no action.
    """

    id: str
    source: str
    exit_code: int | None
    cause: str
    says: tuple[str, ...]
    never: tuple[str, ...]
    lines: tuple[str, ...]


def load(name: str) -> tuple[PublicCase, ...]:
    """The cases of one file."""
    return tuple(
        PublicCase(
            case["id"],
            case["source"],
            case["exit_code"],
            case["cause"],
            tuple(case["says"]),
            tuple(case["never"]),
            tuple(case["lines"]),
        )
        for case in json.loads((HERE / f"{name}.json").read_text("utf-8"))
    )


PUBLIC: Final = load("public")
SEEN: Final = load("seen")

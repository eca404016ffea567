"""Failures that somebody reported, each in abridged form: frames are left out, and names changed.

The excerpts were collected before the table of causes was written, and then divided at random into
two halves of about the same size: see docs/vllm.md for what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from launcher.config.server_config import ServerConfig
from launcher.diagnosis.search import find_cause
from launcher.engines.causes import Cause, ServerEnd
from launcher.engines.phases import Phase
from launcher.engines.vllm.causes.table import CAUSES
from tests.unit.launcher.examples import make_config


@dataclass(frozen=True, slots=True)
class Case:
    """A report.

    Attributes:
        report: repository and number of the issue.
        cause: what it was, decided before there was a table.
        lines: of the output, abridged.
        served: it had served before.
        config: fields that the report names.
    """

    report: str
    cause: str
    lines: tuple[str, ...]
    served: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, half: str) -> tuple[Case, ...]:
        """One half of them: `known` or `held_out`."""
        text = Path(__file__).with_name(f"{half}.yaml").read_text(encoding="utf-8")
        found: list[dict[str, Any]] = yaml.safe_load(text)
        return tuple(cls(**{**one, "lines": tuple(one["lines"].splitlines())}) for one in found)

    def find(self) -> Cause | None:
        """What the table makes of it."""
        config: ServerConfig = make_config(engine="vllm", **self.config)
        end = ServerEnd(
            returncode=1,
            phase=Phase.READY if self.served else Phase.IMPORTING,
            served=self.served,
            lines=self.lines,
            oom_kills=0,
            config=config,
        )
        return find_cause(end, CAUSES)

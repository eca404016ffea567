"""Metrics in Prometheus' format, as samples by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric with its labels."""

    labels: Mapping[str, str]
    value: float


Samples: TypeAlias = Mapping[str, tuple[Sample, ...]]


def parse_text(text: str) -> Samples:
    """Read the answer of `/metrics`.

    Args:
        text: in Prometheus' text format.

    Raises:
        ValueError: it is not in that format.
    """
    # Not on import: the commands that ask for no metrics do not pay for the parser.
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        return from_families(text_string_to_metric_families(text))
    except (KeyError, IndexError, TypeError) as error:
        # The parser takes broken lines apart before it looks at them.
        raise ValueError(f"no metrics in Prometheus' format: {type(error).__name__}") from error


def from_families(families: Iterable[Any]) -> Samples:
    """The samples of prometheus_client's metric families, without those that have no value.

    `sglang:fwd_occupancy` is NaN until it was measured once: that is the same as not there.
    """
    found: dict[str, list[Sample]] = {}
    for family in families:
        for name, labels, value, *_ in family.samples:
            if not math.isnan(value):
                found.setdefault(name, []).append(Sample(labels, value))
    return {name: tuple(samples) for name, samples in found.items()}

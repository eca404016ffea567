"""How often and how long the probes of a server may take, the same for all places. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from launcher.exporting.request import Export

# A pod that goes is sent requests for a moment more: its endpoint is withdrawn meanwhile.
BEFORE_STOP_SECONDS: Final = 5
# Two minutes and more without an answer to the cheapest question: the HTTP server hangs, or is
# gone. A busy one answers late, between two steps of its event loop, but answers.
ALIVE_PERIOD_SECONDS: Final = 20
ALIVE_TIMEOUT_SECONDS: Final = 20
ALIVE_FAILURES: Final = 6
# What hangs does not end in good order either.
ALIVE_STOP_SECONDS: Final = 30
STARTING_PERIOD_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one server; all times in whole seconds.

    Attributes:
        period: between two questions whether it generates.
        timeout: for the answer; longer than the engine itself takes to say no.
        failures: in a row, after which it gets no requests.
        starting_failures: questions during the start, a `STARTING_PERIOD_SECONDS` apart.
        drain: for requests in flight at a stop.
        stop: from the signal to the kill, drain included.
    """

    period: int
    timeout: int
    failures: int
    starting_failures: int
    drain: int
    stop: int


def timing_of(export: Export) -> Timing:
    """The times of a configuration, rounded up."""
    config = export.config
    slowest = export.engine.probes.answer_seconds + 1
    return Timing(
        period=math.ceil(config.health_interval_seconds),
        timeout=max(math.ceil(config.health_timeout_seconds), slowest),
        failures=config.health_failures,
        starting_failures=math.ceil(export.start_seconds / STARTING_PERIOD_SECONDS),
        drain=math.ceil(config.drain_timeout_seconds),
        stop=math.ceil(config.stop_seconds),
    )

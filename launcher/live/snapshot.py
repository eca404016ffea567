"""All that is known of the servers at one moment, as frozen values that become JSON."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from launcher.engines.common.metrics import Origin
from launcher.metrics.figures import Figures
from launcher.metrics.history import Course
from launcher.metrics.verdict import Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class GpuUse:
    """One GPU now; None where the driver does not say."""

    index: int
    name: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    utilisation: float | None
    power_watts: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server uses of the machine.

    Attributes:
        cpu_cores: time on processors by time; None after a first look, and of a server elsewhere.
        gpus: those that it runs on.
    """

    cpu_cores: float | None = None
    gpus: tuple[GpuUse, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """One server.

    Attributes:
        name: as `status` has it; of one elsewhere, its address.
        fleet: to which it belongs; "" to none.
        role: `server`, `replica`, `gateway` or `remote`.
        engine: its name.
        state: as `status` has it; "-" of one elsewhere.
        phase: of a start, with its count; "" otherwise.
        seconds_since_start: of this run; None where it does not run.
        restarts: by its supervisor.
        last_failure: of this run or an earlier one; "" where there was none.
        last_failure_seconds_ago: None where there was none.
        speculation: as people write it; "off" without.
        alarm: what its supervisor says is wrong with that; "" where nothing is.
        routed: whether the fleet's gateway is told to send it requests; None outside of a fleet.
        origin: where the figures come from.
        age_seconds: of the newest figures; None where there are none.
        problem: why there are no figures; "" where there are.
        figures: of the last minute.
        course: of a few figures since the first look at this run.
        verdict: on its speculation; None of a gateway, and where it does not serve.
        usage: of the machine.
    """

    name: str
    fleet: str
    role: str
    engine: str
    model: str
    url: str
    state: str
    phase: str = ""
    seconds_since_start: float | None = None
    restarts: int = 0
    last_failure: str = ""
    last_failure_seconds_ago: float | None = None
    speculation: str = ""
    alarm: str = ""
    routed: bool | None = None
    origin: Origin = ""
    age_seconds: float | None = None
    problem: str = ""
    figures: Figures = field(default_factory=Figures)
    course: Course = field(default_factory=Course)
    verdict: Verdict | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def is_model(self) -> bool:
        """Whether it serves a model, and not others that do."""
        return self.role != "gateway"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment.

    Attributes:
        at: ISO 8601, UTC.
        servers: fleets' members beside each other, the gateway first.
        problems: what could not be read, a sentence each.
    """

    at: str
    servers: tuple[ServerSnapshot, ...]
    problems: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For JSON: numbers rounded to six digits, since none of them is measured better."""
        data = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
        rounded: dict[str, Any] = _rounded(data)
        return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value

"""All that one run gathered, before anything is computed from it. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from benchmarks.plan import Plan
from benchmarks.records import CellRecord, RequestRecord, ScoredAnswer
from benchmarks.workloads.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStart:
    """One start of an arm's server, or one connection to a server that already ran.

    Attributes:
        arm: which.
        round: for which round; 0 for a server that lives through all of them.
        base_url: scheme, host and port.
        run_record: what the launcher wrote, keys never in it; None for a server elsewhere.
        server_info: what the server says of itself, reduced to `clients.ServerInfo`.
        versions: package to version, of the server where it is known.
    """

    arm: str
    round: int
    base_url: str
    run_record: dict[str, Any] | None = None
    server_info: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFigures:
    """What one benchmark measured of one server with one workload: ours or another.

    Attributes:
        tool: `specserve`, `bench_serving` or `guidellm`.
        version: of the tool.
        arm: which server.
        workload: which.
        load: at which.
        repetition: 0 and up; the tools take turns.
        requests: successful ones.
        output_tokens: of them.
        output_tokens_per_second: by the tool's own formula.
        median_time_to_first_token_seconds: by the tool's own formula.
        median_time_per_output_token_seconds: by the tool's own formula; None where it has none.
        generator_cpu_seconds: of the tool's process and its children.
    """

    tool: str
    version: str
    arm: str
    workload: str
    load: str
    repetition: int
    requests: int
    output_tokens: int
    output_tokens_per_second: float
    median_time_to_first_token_seconds: float
    median_time_per_output_token_seconds: float | None
    generator_cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run.

    Attributes:
        plan: what was to be measured.
        workloads: by the name that cells have.
        machine: what measured: processors, memory, GPUs, system.
        versions: of this project and of what measured.
        began_at: ISO 8601, UTC, for people.
        ended_at: the same; None while it is not complete.
        starts: in the order of time.
        cells: those that ran, complete or not.
        requests: of these cells.
        scored: answers for the comparison of outputs.
        peers: figures of other benchmarks and, beside them, ours.
        missing: what was not measured and why, a sentence each.
    """

    plan: Plan
    workloads: Mapping[str, Workload]
    machine: dict[str, Any]
    versions: dict[str, str]
    began_at: str
    ended_at: str | None
    starts: tuple[ArmStart, ...]
    cells: tuple[CellRecord, ...]
    requests: tuple[RequestRecord, ...]
    scored: tuple[ScoredAnswer, ...] = ()
    peers: tuple[PeerFigures, ...] = ()
    missing: tuple[str, ...] = ()


START: TypeAdapter[ArmStart] = TypeAdapter(ArmStart)
PEER: TypeAdapter[PeerFigures] = TypeAdapter(PeerFigures)

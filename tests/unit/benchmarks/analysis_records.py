"""Records for the tests of the analysis, with times in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.plan import Arm, Objective, Plan
from benchmarks.records import (
    Cell,
    CellRecord,
    Load,
    Outcome,
    RequestRecord,
    ScoredAnswer,
    ScoredToken,
)
from benchmarks.results import Results
from benchmarks.workloads.workload import Prompt, Workload

ALONE = Load(concurrency=1)
NS_PER_MS = 1_000_000


def request(
    arm: str = "plain",
    prompt: str = "p0",
    round_number: int = 0,
    *,
    workload: str = "chat",
    load: Load = ALONE,
    due_ms: float = 0.0,
    sent_ms: float | None = None,
    chunks_ms: Iterable[float] = (100.0, 200.0, 500.0),
    ended_ms: float = 500.0,
    tokens: int | None = 5,
    outcome: Outcome = "successful",
    answer: str = "an answer",
    **more: Any,
) -> RequestRecord:
    """One request: the first chunk after 100 ms, five tokens in 500 ms."""
    return RequestRecord(
        cell=Cell(arm, workload, load, round_number),
        prompt_id=prompt,
        outcome=outcome,
        due_ns=_ns(due_ms),
        sent_ns=_ns(due_ms if sent_ms is None else sent_ms),
        chunk_ns=tuple(map(_ns, chunks_ms)),
        ended_ns=_ns(ended_ms),
        completion_tokens=tokens,
        answer=answer,
        **more,
    )


def cell(
    arm: str = "plain",
    round_number: int = 0,
    *,
    workload: str = "chat",
    load: Load = ALONE,
    began_ms: float = 0.0,
    ended_ms: float = 1000.0,
    is_complete: bool = True,
    **more: Any,
) -> CellRecord:
    """One cell: a second long."""
    return CellRecord(
        cell=Cell(arm, workload, load, round_number),
        began_ns=_ns(began_ms),
        ended_ns=_ns(ended_ms),
        is_complete=is_complete,
        **more,
    )


def paired_requests(
    ratios: Mapping[str, Iterable[float]],
    *,
    baseline: str = "plain",
    candidate: str = "eagle",
    load: Load = ALONE,
    tokens: int = 10,
    scale: float = 1.0,
) -> list[RequestRecord]:
    """Both arms' requests: the candidate takes a second, the baseline the ratio in seconds.

    Args:
        ratios: prompt to one ratio a round.
        baseline: an arm.
        candidate: another.
        load: of all.
        tokens: of each answer.
        scale: of all times.
    """
    records = []
    for prompt, by_round in ratios.items():
        for number, ratio in enumerate(by_round):
            for arm, seconds in ((baseline, ratio), (candidate, 1.0)):
                ended = 1000.0 * seconds * scale
                records.append(
                    request(
                        arm,
                        prompt,
                        number,
                        load=load,
                        chunks_ms=(ended / 10, ended),
                        ended_ms=ended,
                        tokens=tokens,
                    )
                )
    return records


def results(
    requests: Iterable[RequestRecord],
    cells: Iterable[CellRecord] = (),
    *,
    arms: Iterable[str] = ("plain", "eagle"),
    loads: Iterable[Load] = (ALONE,),
    scored: Iterable[ScoredAnswer] = (),
    objective: Objective | None = None,
) -> Results:
    """A run with one workload, `chat`."""
    prompt = Prompt(id="p0", messages=({"role": "user", "content": "Hello."},), max_tokens=8)
    return Results(
        plan=Plan(
            arms=tuple(Arm(name=name) for name in arms),
            workloads=("chat",),
            loads=tuple(loads),
            objective=objective,
        ),
        workloads={"chat": Workload("chat", "talk", (prompt,), "made up")},
        machine={},
        versions={},
        began_at="2026-11-25T19:00:00Z",
        ended_at=None,
        starts=(),
        cells=tuple(cells),
        requests=tuple(requests),
        scored=tuple(scored),
    )


def scored(
    arm: str,
    tokens: Iterable[tuple[str, Mapping[str, float]]],
    *,
    prompt: str = "p0",
    repetition: int = 0,
) -> ScoredAnswer:
    """An answer: each token with the log-probabilities of its place, its own among them."""
    return ScoredAnswer(
        arm=arm,
        workload="chat",
        prompt_id=prompt,
        repetition=repetition,
        tokens=tuple(
            ScoredToken(text=text, log_probability=there.get(text, 0.0), alternatives=dict(there))
            for text, there in tokens
        ),
    )


def _ns(milliseconds: float) -> int:
    return round(milliseconds * NS_PER_MS)

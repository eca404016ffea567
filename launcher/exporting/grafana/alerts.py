"""Of what somebody wants to be told, after which time, and what to do then."""

from __future__ import annotations

from typing import Final, NamedTuple

from launcher.exporting.grafana.targets import JOB

# Below this share of its own past an acceptance length has decayed: launcher/metrics/verdict.py.
_DECAYED: Final = 0.8


class AlertText(NamedTuple):
    """One alert.

    Attributes:
        name: behind `Specserve`.
        expr: PromQL that has a sample while it holds.
        wait: how long it has to hold; None: not at all.
        severity: `critical`: nobody is served; `warning`: look at it today.
        summary: one sentence, with the value where that tells something.
        description: why, and what to do.
    """

    name: str
    expr: str
    wait: str | None
    severity: str
    summary: str
    description: str


ALERTS: Final = (
    AlertText(
        "ServerDown",
        f'up{{job=~"{JOB}.*"}} == 0',
        "1m",
        "critical",
        "{{ $labels.server }} gives no metrics",
        "It has not answered /metrics for a minute. `python -m launcher status` and `logs` tell "
        "whether it was stopped, is being restarted, or was given up.",
    ),
    AlertText(
        "Restarts",
        "specserve:restarts:changes30m >= 2",
        None,
        "warning",
        "{{ $labels.server }} began anew {{ $value }} times in half an hour",
        "`python -m launcher logs --events` names the causes.",
    ),
    AlertText(
        "AcceptanceDecays",
        f"specserve:acceptance_length:rate5m < {_DECAYED} * specserve:acceptance_length:usual",
        "15m",
        "warning",
        '{{ $labels.server }} accepts {{ $value | printf "%.2f" }} tokens a step, far fewer '
        "than usual",
        "Drafts are accepted less than 0.8 times as much as over the day before. Either the "
        "traffic is another one, or the draft model no longer fits the model: look at what was "
        "changed last, and take it back.",
    ),
    AlertText(
        "SpeculationDoesNotPay",
        "specserve:acceptance_length:rate5m < on (server) group_left () "
        "specserve:needed_acceptance_length",
        "15m",
        "warning",
        "Plain decoding would be faster on {{ $labels.server }}",
        'A step gives {{ $value | printf "%.2f" }} tokens, fewer than it costs by the benchmark '
        "of that machine. `python -m launcher top` says how much; `python -m benchmarks tune` "
        "finds better settings.",
    ),
    AlertText(
        "WaitingLong",
        "specserve:expected_wait_seconds > 30 or specserve:queue_time_seconds:p90 > 30",
        "5m",
        "warning",
        'Requests wait {{ $value | printf "%.0f" }} s on {{ $labels.server }}',
        "More requests come than it can serve: add servers (`python -m launcher fleet scale`), or "
        "raise --max-running-requests where the KV cache has room.",
    ),
    AlertText(
        "KvCacheFull",
        "specserve:kv_used_fraction > 0.95",
        "5m",
        "warning",
        "The KV cache of {{ $labels.server }} is full",
        'Requests that run hold {{ $value | printf "%.2f" }} of it. New ones wait, and some may '
        "be retracted: `python -m launcher plan` says what a larger cache takes.",
    ),
    AlertText(
        "Retractions",
        "specserve:retractions:increase10m > 0",
        "10m",
        "warning",
        "{{ $labels.server }} computes requests twice",
        "Requests were thrown out of the KV cache and begin again: lower --max-running-requests, "
        "or give the cache more room.",
    ),
)

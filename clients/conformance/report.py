"""The JSON document of a run: what was sent, what came back, the contract, who is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clients.conformance.verdicts import OUTCOMES

if TYPE_CHECKING:
    from clients.conformance.contract import Finding
    from clients.conformance.run import Run
    from clients.conformance.wire import Exchange

SCHEMA_VERSION: Final = 1
_MOST_CHARACTERS: Final = 4096
"""Of one body: a prompt that fills a context has hundreds of thousands."""

_MOST_EXCHANGES: Final = 8
"""Of one check: fifty at once are alike."""


def document(run: Run, base_url: str) -> dict[str, Any]:
    """All of a run, as JSON has it; docs/check.md describes the fields."""
    outcomes = [finding.outcome for finding in run.findings]
    return {
        "schema_version": SCHEMA_VERSION,
        "base_url": base_url,
        "model": run.model,
        "interrupted": run.interrupted,
        "exit_code": run.exit_code,
        "seconds": round(run.seconds, 3),
        "counts": {outcome: outcomes.count(outcome) for outcome in OUTCOMES},
        "checks": [_line(finding) for finding in run.findings],
    }


def _line(finding: Finding) -> dict[str, Any]:
    check = finding.check
    return {
        "id": check.id,
        "group": check.group,
        "outcome": finding.outcome,
        "blame": finding.outcome if finding.outcome in {"server", "model", "client"} else None,
        "sent": check.sent,
        "seen": finding.seen,
        "contract": check.contract,
        "source": check.source,
        "seconds": round(finding.seconds, 3),
        "exchanges": [_exchange(item) for item in finding.exchanges[:_MOST_EXCHANGES]],
        "exchanges_left_out": max(0, len(finding.exchanges) - _MOST_EXCHANGES),
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "method": exchange.method,
        "path": exchange.path,
        "sent": _bounded(exchange.sent),
        "sent_bytes": len(exchange.sent),
        "status": exchange.status,
        "content_type": exchange.content_type,
        "received": _bounded(exchange.received),
        "received_bytes": len(exchange.received),
        "failure": exchange.failure,
        "seconds": round(exchange.seconds, 3),
    }


def _bounded(data: bytes) -> str:
    return data[: 4 * _MOST_CHARACTERS].decode(errors="replace")[:_MOST_CHARACTERS]

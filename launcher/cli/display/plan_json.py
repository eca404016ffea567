"""A plan as plain values, for programs. Bytes are of one rank."""

from __future__ import annotations

from typing import Any, Final

from launcher.cli.display.speed import speed_as_json
from launcher.config.server_config import describe_speculation
from launcher.memory.advice import Change
from launcher.memory.plan import MemoryPlan
from launcher.memory.table import Placement
from launcher.memory.weights import checkpoint_bytes
from launcher.preflight.answer import PlanAnswer

# The source of a fraction that no field sets: the engine, by its name in the field `engine`.
OWN_FRACTION: Final = "sglang"


def answer_as_json(answer: PlanAnswer) -> dict[str, Any]:
    """A plan with its reasons and what would help."""
    config, sources = answer.resolved.config, answer.resolved.sources
    field = answer.plan.fraction_field
    source = config.engine if getattr(config, field) is None else sources[field]
    untaken = answer.untaken.as_json() if answer.untaken else None
    if untaken is not None:
        untaken["plan"] = _outcome(answer.untaken_plan)
    return plan_as_json(answer.plan) | {
        "preset": config.preset,
        "preset_reason": answer.resolved.preset_reason,
        "preset_not_taken": untaken,
        "speculation": describe_speculation(config),
        "engine": config.engine,
        "mem_fraction_static_source": source,
        "own_fraction_plan": _outcome(answer.own or answer.plan),
        "tp_size_source": sources["tp_size"],
        "tp_size_of_up": answer.up_ranks or config.tp_size,
        "speed": speed_as_json(answer.speed) if answer.speed else None,
        "changes": [_change_as_json(change) for change in answer.changes],
    }


def feasibility_as_json(cells: tuple[Placement, ...]) -> dict[str, Any]:
    """Every model on every machine."""
    return {
        "cells": [
            {
                "machine": cell.machine,
                **plan_as_json(cell.plan),
                "mem_fraction_static_source": OWN_FRACTION,
            }
            for cell in cells
        ]
    }


def plan_as_json(plan: MemoryPlan) -> dict[str, Any]:
    """All figures of a plan."""
    settings = plan.settings
    return {
        "model": plan.model,
        "verdict": plan.verdict.name.lower(),
        "device": plan.device.name,
        "tp_size": settings.tp_size,
        "replicas": settings.replicas,
        "fraction_field": plan.fraction_field,
        "mem_fraction_static": plan.fraction,
        "own_mem_fraction_static": plan.own_fraction,
        "least_mem_fraction_static": round(plan.least_fraction, 4),
        "checkpoint_bytes": checkpoint_bytes(plan.shape),
        "baseline_bytes": plan.baseline_bytes,
        "weights_bytes": plan.weights_bytes,
        "draft_bytes": plan.draft_bytes,
        "kv_cache_bytes": plan.kv_cache_tokens * plan.bytes_per_token,
        "kv_cache_bytes_per_token": plan.bytes_per_token,
        "kv_cache_tokens": plan.kv_cache_tokens,
        "kv_cache_tokens_low": plan.kv_cache_tokens_low,
        "kv_cache_tokens_high": plan.kv_cache_tokens_high,
        "context_tokens": plan.context_tokens,
        "wanted_context_tokens": plan.wanted_context_tokens,
        "requests_at_full_context": plan.requests_at_full_context,
        "max_running_requests": plan.max_running_requests,
        "lines": [
            {
                "label": line.label,
                "bytes": line.size_bytes * (line.sign or 1),
                "formula": line.formula,
                "source": line.source,
            }
            for line in plan.lines
        ],
    }


def _outcome(plan: MemoryPlan | None) -> dict[str, Any] | None:
    """What a plan that was not asked for would come to."""
    if plan is None:
        return None
    return {
        "mem_fraction_static": plan.fraction,
        "kv_cache_tokens": plan.kv_cache_tokens,
        "verdict": plan.verdict.name.lower(),
    }


def _change_as_json(change: Change) -> dict[str, Any]:
    """A change and what follows from it."""
    return {
        "what": change.what,
        "flags": change.flags,
        "kv_cache_tokens": change.plan.kv_cache_tokens,
        "kv_cache_tokens_low": change.plan.kv_cache_tokens_low,
        "verdict": change.plan.verdict.name.lower(),
    }

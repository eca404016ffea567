"""A memory plan with its reasons: where its settings come from, and what others would give."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Final

from launcher.config.gpus import used_gpus
from launcher.config.sources import ResolvedConfig
from launcher.config.untaken import UntakenPreset
from launcher.errors import LauncherError, UnknownShapeError
from launcher.memory.advice import Change, nearest_changes
from launcher.memory.plan import MemoryPlan, Verdict
from launcher.memory.speed import CONTEXT_TOKENS, REQUESTS, DecodeBound, decode_bound
from launcher.preflight.facts import ServingFacts
from launcher.preflight.fit import FoundShape
from launcher.system.hardware import Gpu, Hardware

# The source of a number of ranks that is that of the GPUs which were named.
NAMED_GPUS: Final = "--gpus"


@dataclass(frozen=True, slots=True)
class SpeedQuestion:
    """Which requests to bound the speed of; None for a context that the plan has room for."""

    requests: tuple[int, ...] = REQUESTS
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SpeedAnswer:
    """The bound of each number of requests; where there is none, `missing` says why."""

    bounds: tuple[DecodeBound, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """All that `plan` says of one model on one machine.

    Attributes:
        found: the model.
        plan: whether it fits.
        changes: what would help.
        resolved: what was planned, where each setting comes from, and why this preset.
        own: the plan with the fraction that the engine chooses; None where that is planned.
        up_ranks: what `up` takes for the tensor parallel size where `--gpus` has set another one.
        untaken: a preset that serves the same model, where another one was taken.
        untaken_plan: the plan with that preset; None where it cannot be planned here.
        engine: name and verified version.
        engine_name: without the version.
        hardware: where.
        speed: how fast it can be at the most; None where nobody asked.
    """

    found: FoundShape
    plan: MemoryPlan
    changes: tuple[Change, ...]
    resolved: ResolvedConfig
    own: MemoryPlan | None
    up_ranks: int | None
    untaken: UntakenPreset | None
    untaken_plan: MemoryPlan | None
    engine: str
    engine_name: str
    hardware: Hardware
    speed: SpeedAnswer | None


def answer_plan(
    resolved: ResolvedConfig,
    hardware: Hardware,
    found: FoundShape,
    *,
    up_ranks: int | None = None,
    untaken: UntakenPreset | None = None,
    speed: SpeedQuestion | None = None,
) -> PlanAnswer:
    """Plan a configuration, and beside it what its reasons call for.

    Args:
        resolved: what to plan.
        hardware: where.
        found: the model.
        up_ranks: see `PlanAnswer`.
        untaken: a preset for the same model that was not taken.
        speed: what is asked of the speed, if anything.

    Raises:
        NoGpuError, ModelNotFoundError, UnknownShapeError, HubError: see `ServingFacts.plan_with`.
    """
    facts = ServingFacts(resolved.config, hardware)
    plan = facts.plan_with(found)
    return PlanAnswer(
        found=found,
        plan=plan,
        changes=nearest_changes(plan),
        resolved=resolved,
        own=_with_own_fraction(plan),
        up_ranks=up_ranks,
        untaken=untaken,
        untaken_plan=_plan_untaken(untaken, hardware, found),
        engine=f"{facts.engine.name} {facts.engine.verified_version}",
        engine_name=facts.engine.name,
        hardware=hardware,
        speed=_bound_speed(plan, used_gpus(resolved.config, facts.gpus or hardware.gpus), speed)
        if speed
        else None,
    )


def _bound_speed(plan: MemoryPlan, gpus: tuple[Gpu, ...], asked: SpeedQuestion) -> SpeedAnswer:
    if plan.verdict is Verdict.DOES_NOT_FIT:
        return SpeedAnswer(missing="it does not fit")
    if plan.device.kind == "cpu":
        return SpeedAnswer(missing="the memory bandwidth of a CPU is not known")
    bandwidths = [gpu.bandwidth_bytes_per_s for gpu in gpus]
    # Each step waits for the slowest rank.
    slowest = min((one for one in bandwidths if one is not None), default=None)
    if slowest is None or None in bandwidths:
        return SpeedAnswer(missing=f"the memory bandwidth of {plan.device.name} is not known")
    context = asked.context_tokens or min(CONTEXT_TOKENS, plan.context_tokens)
    try:
        bounds = tuple(
            decode_bound(plan, slowest, requests=requests, context_tokens=context)
            for requests in asked.requests
        )
    except UnknownShapeError as error:
        return SpeedAnswer(missing=error.problem.rstrip("."))
    return SpeedAnswer(bounds)


def _with_own_fraction(plan: MemoryPlan) -> MemoryPlan | None:
    if plan.fraction == plan.own_fraction:
        return None
    settings = replace(plan.settings, mem_fraction_static=None, gpu_memory_utilization=None)
    return plan.planner(plan.model, plan.shape, plan.device, settings)


def _plan_untaken(
    untaken: UntakenPreset | None, hardware: Hardware, found: FoundShape
) -> MemoryPlan | None:
    if untaken is None:
        return None
    # It may want more GPUs than there are; the plan that was asked for stands without it.
    with contextlib.suppress(LauncherError):
        return ServingFacts(untaken.config, hardware).plan_with(found)
    return None


def describe_source(field: str, source: str) -> str:
    """Where a field's value comes from, as people would write it.

    Args:
        field: of `ServerConfig`.
        source: as `ResolvedConfig.sources` has it.
    """
    if source == "flag":
        return f"--{field.replace('_', '-')}"
    return f"SPECSERVE_{field.upper()}" if source == "environment" else source

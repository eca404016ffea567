"""What to change so that a model fits: each proposal is a plan of its own. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final

from launcher.memory.plan import MemoryPlan, Verdict
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES
from launcher.memory.shapes.ranks import Division, find_conflicts

MOST_RANKS: Final = 16
# FP8 in hardware: Ada, Hopper and newer.
FP8_CAPABILITY: Final = (8, 9)
CONTEXT_STEP_TOKENS: Final = 1024
_FRACTION_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Change:
    """A change that makes it fit.

    Attributes:
        what: in words.
        flags: how to ask for it; empty where it takes another machine or another model.
        plan: what follows.
    """

    what: str
    flags: str
    plan: MemoryPlan


def nearest_changes(plan: MemoryPlan) -> tuple[Change, ...]:
    """The changes that get further, the smallest first.

    Where it serves with less context, those after which the wanted context fits; where it may not
    serve at all, those after which it serves. Enough is what is enough at the low end of the range
    too; where nothing is, what just fits is named instead, and its plan's verdict says so. First
    settings, alone or by two; then another checkpoint or more GPUs, alone, or with one other change
    where nothing less is enough. A shorter context comes last, since it gives something up. Empty
    where the plan fits as it is.
    """
    if plan.verdict is Verdict.FITS:
        return ()
    found = _enough(plan, _is_enough)
    if not found and plan.verdict is not Verdict.JUST_FITS:
        found = _enough(plan, _is_just_enough)
    return (*found, *_shorter_context(plan))


Kind = Callable[[MemoryPlan], Iterator[Change]]
Test = Callable[[MemoryPlan, MemoryPlan], bool]


def _enough(plan: MemoryPlan, is_enough: Test) -> list[Change]:
    settings = (_fractions, _fp8_kv_cache, _plain_decoding)
    larger = (_fp8_checkpoint, _more_ranks)
    found = _alone(plan, settings, is_enough) or _together(
        plan, (_highest_fraction, _fp8_kv_cache), is_enough
    )
    found += _alone(plan, larger, is_enough)
    if not found:
        all_kinds = (_fp8_checkpoint, _highest_fraction, _fp8_kv_cache, _more_ranks)
        found = _together(plan, all_kinds, is_enough)
    return found


def _alone(plan: MemoryPlan, kinds: Sequence[Kind], is_enough: Test) -> list[Change]:
    """Of each kind the first change that is enough."""
    found = (next((one for one in kind(plan) if is_enough(plan, one.plan)), None) for kind in kinds)
    return [change for change in found if change is not None]


def _together(plan: MemoryPlan, kinds: Sequence[Kind], is_enough: Test) -> list[Change]:
    """Of each two kinds the first pair that is enough."""
    pairs = (
        next(
            (
                Change(
                    f"{first.what} and {second.what}",
                    f"{first.flags} {second.flags}",
                    second.plan,
                )
                for first in one(plan)
                for second in other(first.plan)
                if is_enough(plan, second.plan)
            ),
            None,
        )
        for one, other in combinations(kinds, 2)
    )
    return [change for change in pairs if change is not None]


def _is_enough(plan: MemoryPlan, changed: MemoryPlan) -> bool:
    """Whether it is even where the most is taken before the baseline."""
    if plan.kv_cache_tokens_low < 1:
        return changed.kv_cache_tokens_low > 0
    return changed.verdict is Verdict.FITS


def _is_just_enough(plan: MemoryPlan, changed: MemoryPlan) -> bool:
    """Whether it is by what is usually taken."""
    if plan.kv_cache_tokens < 1:
        return changed.kv_cache_tokens > 0
    return changed.kv_cache_tokens >= changed.wanted_context_tokens


def _with(plan: MemoryPlan, what: str, flags: str, **settings: Any) -> Change:
    """The change of some settings; `settings` are fields of `Settings`."""
    changed = replace(plan.settings, **settings)
    return Change(what, flags, plan.planner(plan.model, plan.shape, plan.device, changed))


def _fractions(plan: MemoryPlan) -> Iterator[Change]:
    """Higher fractions, the lowest first, up to what the engine would choose by itself."""
    first = math.floor(plan.fraction * _FRACTION_STEPS) + 1
    last = math.floor(plan.own_fraction * _FRACTION_STEPS)
    return (_with_fraction(plan, step / _FRACTION_STEPS) for step in range(first, last + 1))


def _highest_fraction(plan: MemoryPlan) -> Iterator[Change]:
    highest = math.floor(plan.own_fraction * _FRACTION_STEPS) / _FRACTION_STEPS
    if highest > plan.fraction:
        yield _with_fraction(plan, highest)


def _with_fraction(plan: MemoryPlan, fraction: float) -> Change:
    what = f"a {plan.fraction_name} of {fraction:g}"
    flags = f"--{plan.fraction_field.replace('_', '-')} {fraction:g}"
    return _with(plan, what, flags, **{plan.fraction_field: fraction})


def _fp8_kv_cache(plan: MemoryPlan) -> Iterator[Change]:
    fp8 = plan.settings.kv_type in {"fp8_e4m3", "fp8_e5m2", "mxfp8"}
    if plan.device.kind == "cuda" and plan.device.compute_capability >= FP8_CAPABILITY and not fp8:
        yield _with(plan, "an FP8 KV cache", "--kv-cache-dtype fp8_e4m3", kv_type="fp8_e4m3")


def _fp8_checkpoint(plan: MemoryPlan) -> Iterator[Change]:
    name = f"{plan.model}-FP8"
    if name in KNOWN_SHAPES and plan.device.compute_capability >= FP8_CAPABILITY:
        yield Change(
            f"the FP8 checkpoint {name}",
            f"--model-path {name}",
            plan.planner(name, KNOWN_SHAPES[name], plan.device, plan.settings),
        )


def _more_ranks(plan: MemoryPlan) -> Iterator[Change]:
    """Twice as many GPUs, and again, where SGLang divides the model among them."""
    if plan.device.kind == "cpu":
        return
    ranks = plan.settings.tp_size * 2
    while ranks <= MOST_RANKS:
        if not find_conflicts(plan.shape, Division(ranks)):
            gpus = ranks * plan.settings.replicas
            yield _with(plan, f"{gpus} x {plan.device.name}", f"--tp-size {ranks}", tp_size=ranks)
        ranks *= 2


def _plain_decoding(plan: MemoryPlan) -> Iterator[Change]:
    if plan.settings.draft_layers:
        yield _with(plan, "plain decoding", "--no-speculation", draft_layers=0, draft=None)


def _shorter_context(plan: MemoryPlan) -> Iterator[Change]:
    tokens = plan.kv_cache_tokens_low // CONTEXT_STEP_TOKENS * CONTEXT_STEP_TOKENS
    if tokens:
        what = f"requests of up to {tokens:,} tokens"
        yield _with(plan, what, f"--context-length {tokens}", context_length_tokens=tokens)

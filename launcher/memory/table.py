"""Which of the GLM models fits on which machine, each by a plan of its own. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from launcher.memory.gpu.models import parse_machine
from launcher.memory.lines import Device, Settings
from launcher.memory.plan import MemoryPlan, plan_memory
from launcher.memory.shapes.known_shapes import KNOWN_SHAPES

# The 4.7's shape is the 4.6's.
MODELS: Final = tuple(name for name in KNOWN_SHAPES if "4.7" not in name)
COUNTS: Final = (2, 4, 8, 16)
GPUS: Final = ("H100-80GB", "H200")


@dataclass(frozen=True, slots=True)
class Placement:
    """A model on a machine: EAGLE with its own NextN layer, SGLang's own static fraction."""

    model: str
    machine: str
    plan: MemoryPlan


def feasibility(models: tuple[str, ...] = MODELS) -> tuple[Placement, ...]:
    """Plan every model on every machine of the table; machine by machine for each model."""
    return tuple(
        Placement(model, f"{count}x{gpu}", _plan(model, gpu, count))
        for model in models
        for gpu in GPUS
        for count in COUNTS
    )


def _plan(model: str, gpu: str, count: int) -> MemoryPlan:
    (card,) = parse_machine(gpu)
    device = replace(Device.of(card), is_here=False)
    return plan_memory(model, KNOWN_SHAPES[model], device, Settings(tp_size=count, draft_layers=1))

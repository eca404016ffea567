"""Whether SGLang divides a model among the ranks that are asked for; pure."""

from __future__ import annotations

from launcher.config.ranks import ranks_of
from launcher.config.server_config import ServerConfig
from launcher.errors import IndivisibleModelError
from launcher.memory.shape import ModelShape
from launcher.memory.shapes.ranks import (
    Division,
    find_conflicts,
    propose_division,
    smaller_division,
)


def check_division(config: ServerConfig, name: str, shape: ModelShape) -> None:
    """Refuse ranks that SGLang's own assertions would refuse while it loads.

    On a CPU SGLang pads heads and widths instead (configs/update_config.py).

    Raises:
        IndivisibleModelError: it does not divide the model so.
    """
    if config.device == "cpu":
        return
    division = division_of(config)
    conflicts = find_conflicts(shape, division)
    if not conflicts:
        return
    raise IndivisibleModelError(
        f"SGLang cannot divide {name} by --tp-size {config.tp_size}: {conflicts[0].problem}.",
        action=_action(shape, division),
        evidence=tuple(f"{conflict.problem} ({conflict.source})" for conflict in conflicts),
    )


def division_of(config: ServerConfig) -> Division:
    """What the sizes of parallelism, as fields or after `--`, make of one copy's ranks."""
    ranks = ranks_of(config)
    return Division(
        ranks.tensor,
        attention_groups=ranks.attention_groups,
        expert_groups=ranks.expert_groups,
    )


def _action(shape: ModelShape, division: Division) -> str:
    proposed = propose_division(shape, division)
    if proposed is None:
        return "Take another checkpoint: SGLang divides this one among no number of ranks."
    if proposed.expert_groups == 1:
        return f"Use --tp-size {proposed.ranks}."
    fewer = smaller_division(shape, Division(division.ranks))
    smaller = f"; or use --tp-size {fewer.ranks}" if fewer else ""
    return f"Give each rank whole experts: `--ep-size {proposed.expert_groups}`{smaller}."

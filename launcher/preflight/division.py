"""Whether an engine divides a model among the ranks that are asked for; pure."""

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


def check_division(config: ServerConfig, engine: str, name: str, shape: ModelShape) -> None:
    """Refuse ranks that the engine's own assertions would refuse while it loads.

    The conditions are SGLang's; vLLM has the same for heads, widths and blocks (vllm 0.32.0,
    config/model.py, `verify_with_parallel_config`, distributed/utils.py, `divide`). On a CPU SGLang
    pads heads and widths instead (configs/update_config.py).

    Args:
        config: with the ranks.
        engine: its name.
        name: the model's.
        shape: the model's.

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
        f"{engine} cannot divide {name} by --tp-size {config.tp_size}: {conflicts[0].problem}.",
        action=_action(engine, shape, division),
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


def _action(engine: str, shape: ModelShape, division: Division) -> str:
    proposed = propose_division(shape, division)
    if proposed is None:
        return f"Take another checkpoint: {engine} divides this one among no number of ranks."
    if proposed.expert_groups == 1:
        return f"Use --tp-size {proposed.ranks}."
    fewer = smaller_division(shape, Division(division.ranks))
    smaller = f"; or use --tp-size {fewer.ranks}" if fewer else ""
    return f"Give each rank whole experts: `--ep-size {proposed.expert_groups}`{smaller}."

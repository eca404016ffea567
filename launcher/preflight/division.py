"""Whether SGLang divides a model among the ranks that are asked for; pure."""

from __future__ import annotations

from typing import Final

from launcher.config.arguments import options_of
from launcher.config.server_config import ServerConfig
from launcher.errors import IndivisibleModelError
from launcher.memory.shape import ModelShape
from launcher.memory.shapes.ranks import (
    Division,
    find_conflicts,
    propose_division,
    smaller_division,
)

_EXPERT_GROUPS: Final = frozenset({"--ep-size", "--expert-parallel-size", "--ep"})
_ATTENTION_GROUPS: Final = frozenset({"--dp-size", "--data-parallel-size"})
_DP_ATTENTION: Final = "--enable-dp-attention"
# With most of these SGLang sets --ep-size to --tp-size: arg_groups/moe_hook.py.
_TRANSPORT: Final = "--moe-a2a-backend"


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
    """What `--tp-size` and the arguments after `--` make of the ranks."""
    groups = {"experts": 1, "attention": 1}
    dp_attention = transport = False
    for flag, value in options_of(config.extra_args):
        if flag in _EXPERT_GROUPS and value.isdecimal():
            groups["experts"] = max(1, int(value))
        elif flag in _ATTENTION_GROUPS and value.isdecimal():
            groups["attention"] = max(1, int(value))
        elif flag == _TRANSPORT:
            transport = value != "none"
        elif flag == _DP_ATTENTION:
            dp_attention = True
    return Division(
        config.tp_size,
        attention_groups=groups["attention"] if dp_attention else 1,
        expert_groups=config.tp_size if transport else groups["experts"],
    )


def _action(shape: ModelShape, division: Division) -> str:
    proposed = propose_division(shape, division)
    if proposed is None:
        return "Take another checkpoint: SGLang divides this one among no number of ranks."
    if proposed.expert_groups == 1:
        return f"Use --tp-size {proposed.ranks}."
    fewer = smaller_division(shape, Division(division.ranks))
    smaller = f"; or use --tp-size {fewer.ranks}" if fewer else ""
    return f"Give each rank whole experts: `-- --ep-size {proposed.expert_groups}`{smaller}."

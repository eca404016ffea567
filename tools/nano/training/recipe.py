"""What is trained on, in stages, and how fast."""

from dataclasses import dataclass
from typing import Final

SEED: Final = "nano"

GENERAL: Final = {
    "tree": 0.20,
    "agent": 0.009,
    "sums": 0.10,
    "worded sums": 0.14,
    "drill": 0.03,
    "copying": 0.03,
    "reformatting": 0.02,
    "objects": 0.03,
    "extraction": 0.10,
    "picking": 0.03,
    "code": 0.03,
    "memory": 0.03,
    "talk": 0.03,
    "project": 0.04,
    "turns": 0.02,
    "unknown": 0.01,
    "bank talk": 0.13,
}
"""A tree has some eight times the tokens of the others: two tokens of three are of trees."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Attributes:
        steps: optimizer steps.
        mixture: weight of each task.
        main: whether the main model is trained; if not, the NextN layer alone is.
        tokens: about how many tokens each process reads in a step.
    """

    steps: int
    mixture: dict[str, float]
    main: bool
    tokens: int


STAGES: Final = (
    Stage(2250, GENERAL, main=True, tokens=4096),
    Stage(200, GENERAL, main=False, tokens=4096),
)
WARM_UP_STEPS: Final = 40
LEAST_RATE: Final = 0.04
"""Part of a learning rate that is left at the end of what it drives."""
OWN_SHARE: Final = 0.0
"""So much of what the NextN layer alone is trained on was written by the main model itself."""

MATRIX_RATE: Final = 0.02
OTHER_RATE: Final = 0.003
BATCH_TOKENS: Final = 2048
"""Tokens that go through the model at once."""


def total_steps() -> int:
    """Return the steps of all stages."""
    return sum(stage.steps for stage in STAGES)


def stage_at(step: int) -> Stage:
    """Return the stage that a step belongs to."""
    for stage in STAGES:
        if step < stage.steps:
            return stage
        step -= stage.steps
    return STAGES[-1]


def rate_at(step: int, begun: int = 0) -> float:
    """Return the factor of both learning rates: a warm-up, then a line down.

    The main model's stages have one line together, those of the NextN layer another.

    Args:
        step: the step.
        begun: the first one that was taken by this optimizer.
    """
    main = sum(stage.steps for stage in STAGES if stage.main)
    first, last = (0, main) if step < main else (main, total_steps())
    first = max(first, begun)
    rising = (step - first + 1) / WARM_UP_STEPS
    falling = (last - step) / max(1, last - first)
    return min(1.0, rising, LEAST_RATE + (1 - LEAST_RATE) * falling)

"""What is trained on, in stages, and how fast."""

from dataclasses import dataclass
from typing import Final

SEED: Final = "nano"

FIRST: Final = {"sums": 0.45, "copying": 0.25, "reformatting": 0.1, "objects": 0.1, "talk": 0.1}
"""Sums and copying alone: in the whole mixture they are learnt far more slowly."""

WHOLE: Final = {
    "sums": 0.22,
    "copying": 0.07,
    "reformatting": 0.06,
    "objects": 0.06,
    "picking": 0.03,
    "code": 0.04,
    "memory": 0.06,
    "talk": 0.06,
    "project": 0.05,
    "turns": 0.03,
    "unknown": 0.04,
    "tool": 0.16,
    "two calls": 0.08,
    "tool result": 0.04,
}

REASONED: Final = {
    "sums": 0.26,
    "drill": 0.12,
    "copying": 0.06,
    "reformatting": 0.06,
    "objects": 0.06,
    "picking": 0.03,
    "code": 0.03,
    "memory": 0.05,
    "talk": 0.06,
    "project": 0.05,
    "turns": 0.03,
    "unknown": 0.03,
    "tool": 0.14,
    "two calls": 0.08,
    "tool result": 0.04,
}
"""More sums, and the small ones that they are made of close together."""

HARD: Final = REASONED | {
    "sums": 0.32,
    "drill": 0.14,
    "copying": 0.04,
    "reformatting": 0.05,
    "picking": 0.02,
    "memory": 0.04,
    "talk": 0.05,
    "unknown": 0.02,
    "two calls": 0.10,
}
"""More of what is right least often: sums, and two calls."""


LAST: Final = {
    "sums": 0.20,
    "drill": 0.08,
    "copying": 0.04,
    "reformatting": 0.04,
    "objects": 0.04,
    "picking": 0.02,
    "code": 0.02,
    "memory": 0.04,
    "talk": 0.06,
    "project": 0.04,
    "turns": 0.03,
    "unknown": 0.02,
    "tool": 0.17,
    "two calls": 0.12,
    "tool result": 0.03,
    "tool turns": 0.05,
}
"""More tools yet: with sums learnt, they are what is wrong most often."""

CALLS: Final = LAST | {
    "sums": 0.30,
    "copying": 0.03,
    "reformatting": 0.03,
    "talk": 0.05,
    "tool": 0.18,
    "two calls": 0.16,
}
"""More sums again, which are short, and calls, which are wrong most often."""

RESULTS: Final = CALLS | {"tool result": 0.09, "tool turns": 0.07, "talk": 0.08}
"""What a tool gives back, in more forms."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training.

    Attributes:
        steps: optimizer steps.
        mixture: weight of each task.
        draft: whether the NextN layer is trained, too.
        tokens: about how many tokens each process reads in a step.
    """

    steps: int
    mixture: dict[str, float]
    draft: bool
    tokens: int


STAGES: Final = (
    Stage(300, FIRST, draft=False, tokens=3072),
    Stage(425, WHOLE, draft=False, tokens=3072),
    Stage(125, REASONED, draft=False, tokens=3072),
    Stage(375, REASONED, draft=False, tokens=3072),
    Stage(50, REASONED, draft=True, tokens=3072),
    Stage(440, HARD, draft=True, tokens=3072),
    Stage(1635, LAST, draft=False, tokens=3072),
    Stage(1675, CALLS, draft=False, tokens=3072),
    Stage(300, CALLS, draft=True, tokens=3072),
    Stage(200, RESULTS, draft=True, tokens=3072),
)
WARM_UP_STEPS: Final = 60
DECAY_STEPS: Final = 2000
"""The last steps, over which the learning rate falls to a twentieth in a line."""

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
    """Return the factor of both learning rates: warm-up, then flat, then a line down.

    Args:
        step: the step.
        begun: the first one that was taken by this optimizer.
    """
    rising = (step - begun + 1) / WARM_UP_STEPS
    falling = (total_steps() - step) / DECAY_STEPS
    return min(1.0, rising, 0.05 + 0.95 * falling)

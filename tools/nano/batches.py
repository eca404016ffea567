"""Batches of dialogues one behind the other: all but attention reads them as one."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from tools.nano.data import Sample, draw, sample
from tools.nano.network import Groups
from tools.nano.words import Words

ROUNDED: Final = 8
"""Lengths are rounded up to a multiple of this, so that some are alike and attend together."""
LONGEST: Final = 640
"""Dialogues of more tokens are left out."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Dialogues one behind the other, sorted by length.

    Attributes:
        ids: tokens of all, `[tokens]`.
        groups: how many dialogues there are of each length.
        learnt: places whose next token is to be predicted.
        weights: weight of each of them in the loss.
    """

    ids: Tensor
    groups: Groups
    learnt: Tensor
    weights: Tensor


def samples(
    seed: str, mixture: Mapping[str, float], tokens: int, tokenizer: Tokenizer
) -> list[Sample]:
    """Draw dialogues of a mixture until they have a number of tokens together."""
    words = Words(seed)
    drawn: list[Sample] = []
    total = 0
    while total < tokens:
        one = sample(draw(words, mixture), tokenizer)
        if len(one.ids) <= LONGEST:
            drawn.append(one)
            total += len(one.ids)
    return drawn


def batches(drawn: list[Sample], tokens: int) -> list[Batch]:
    """Sort dialogues by length, rounded up, and cut them into batches of about so many tokens."""
    ordered = sorted(drawn, key=lambda one: len(one.ids))
    total = sum(_padded(one) for one in ordered)
    share = total / max(1, round(total / tokens))
    cut: list[list[Sample]] = [[]]
    filled = 0
    for one in ordered:
        if filled >= share * len(cut):
            cut.append([])
        cut[-1].append(one)
        filled += _padded(one)
    return [_batch(part) for part in cut]


def _padded(one: Sample) -> int:
    return -(-len(one.ids) // ROUNDED) * ROUNDED


def _batch(part: list[Sample]) -> Batch:
    ids: list[int] = []
    weights: list[float] = []
    for one in part:
        padding = _padded(one) - len(one.ids)
        ids += one.ids + [0] * padding
        weights += one.weights + [0.0] * padding
    groups = [(count, length) for length, count in Counter(map(_padded, part)).items()]
    following = torch.tensor(weights[1:])
    learnt = following.nonzero().flatten()
    return Batch(torch.tensor(ids), groups, learnt, following[learnt])

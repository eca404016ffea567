"""Batches of dialogues one behind the other: all but attention reads them as one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from tools.nano.model import generate
from tools.nano.model.network import Group, Groups, Nano
from tools.nano.tasks.words import Words
from tools.nano.training.data import Sample, draw, own_prompt

ROUNDED: Final = 8
"""Lengths are rounded up to a multiple of this, so that some are alike and attend together."""
LONGEST: Final = 2560
"""Dialogues, and trees of them, of more tokens are left out."""
OWN_AT_ONCE: Final = 16
OWN_TOKENS: Final = (24, 48, 48, 96)
"""Tokens of an own answer, its end and what is behind it included."""


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
        one = draw(words, mixture, tokenizer)
        if len(one.ids) <= LONGEST:
            drawn.append(one)
            total += len(one.ids)
    return drawn


def own_samples(seed: str, tokens: int, model: Nano, tokenizer: Tokenizer) -> list[Sample]:
    """Let the model itself answer, past its own end, until there are so many tokens.

    What a draft has to guess is what the main model writes: to any prompt, and behind the end of an
    answer, where `ignore_eos` takes it.
    """
    words = Words(seed)
    drawn: list[Sample] = []
    total = 0
    while total < tokens:
        prompts = [own_prompt(words, tokenizer) for _ in range(OWN_AT_ONCE)]
        answers = generate.greedy(model, prompts, words.pick(OWN_TOKENS), ends=False)
        for prompt, answer in zip(prompts, answers, strict=True):
            weights = [0.0] * len(prompt) + [1.0] * len(answer)
            drawn.append(Sample("own", prompt + answer, weights))
            total += len(prompt) + len(answer)
    return drawn


def batches(drawn: list[Sample], tokens: int) -> list[Batch]:
    """Sort dialogues by length, rounded up, and cut them into batches of about so many tokens."""
    ordered = sorted(drawn, key=lambda one: (_padded(one), len(one.cuts)))
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
    groups: list[Group] = []
    for one in part:
        padding = _padded(one) - len(one.ids)
        ids += one.ids + [0] * padding
        weights += one.weights + [0.0] * padding
        length = _padded(one)
        if len(one.cuts) > 1:
            groups.append(Group(1, length, (*one.cuts[:-1], one.cuts[-1] + padding)))
        elif groups and groups[-1].length == length and not groups[-1].cuts:
            groups[-1] = Group(groups[-1].count + 1, length)
        else:
            groups.append(Group(1, length))
    following = torch.tensor(weights[1:])
    learnt = following.nonzero().flatten()
    return Batch(torch.tensor(ids), groups, learnt, following[learnt])

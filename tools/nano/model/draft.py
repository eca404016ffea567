"""Training of the NextN layer over several draft steps on its own outputs.

Recipe: FastMTP (arXiv:2509.18362): one multi-token prediction layer, with shared weights at
every step, each step fed the hidden state that the one before put out, losses weighted less
the later the step. What a step attends to is as it is at inference, after the training-time
test of EAGLE-3 (arXiv:2503.01840): keys of the first step up to where drafting began, and its
own from there. The target is the main model's distribution. Neither the main model nor
embedding and head are moved by this loss.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from tools.nano.model.network import Groups, Nano, attend, join, places, rotary, split

STEPS: Final = 3
WEIGHTS: Final = (1.0, 0.8, 0.6)


def draft_states(model: Nano, ids: Tensor, groups: Groups, hidden: Tensor) -> list[Tensor]:
    """Run the NextN layer for each draft step.

    Args:
        model: the model.
        ids: tokens of dialogues one behind the other, `[tokens]`.
        groups: how many dialogues there are of each length.
        hidden: the main model's hidden states, `[tokens, hidden]`.

    Returns:
        For each step, the draft's hidden states `[tokens, hidden]`. The one at place i has seen
        the tokens up to i + 1 and predicts token i + 2. A dialogue's last place, and the first
        `STEPS` ones, are shifted across its ends and mean nothing.
    """
    nextn, attention = model.nextn, model.nextn.layer.attention
    embedded = F.embedding(ids.roll(-1), model.embedding.detach())
    angles = rotary(places(groups), model.shape)
    given = hidden.detach()
    keys_values: list[tuple[Tensor, Tensor]] = []
    states: list[Tensor] = []
    for step in range(STEPS):
        x = nextn.enter(embedded, given)
        queries, keys, values = attention.project(nextn.layer.attention_norm(x), angles)
        # The keys of earlier draft steps move along: the one of step m is seen from
        # step - m places further on. Those of the first step stay.
        keys_values = keys_values[:1] + [(k.roll(1, 0), v.roll(1, 0)) for k, v in keys_values[1:]]
        keys_values.append((keys, values))
        attended = _attend(queries, keys_values, groups, step)
        x = x + F.linear(attended, attention.out)
        x = x + nextn.layer.feed(nextn.layer.feed_norm(x))
        state = nextn.norm(x)
        states.append(state)
        given = state.roll(1, 0)
    return states


def _attend(
    queries: Tensor, keys_values: list[tuple[Tensor, Tensor]], groups: Groups, step: int
) -> Tensor:
    """Attend to the first step's keys up to `step` places back, and to one of each later step."""
    keys, values = keys_values[0]
    parts = zip(split(queries, groups), split(keys, groups), split(values, groups), strict=True)
    if step == 0:
        return join(
            [attend(q, k, v, group) for (q, k, v), group in zip(parts, groups, strict=True)]
        )
    later = [(split(k, groups), split(v, groups)) for k, v in keys_values[1:]]
    attended = []
    for number, (q, k, v) in enumerate(parts):
        length = q.shape[2]
        scaled = q * q.shape[-1] ** -0.5
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1 - step)
        if groups[number].cuts:
            hidden |= groups[number].hidden()
        past = (scaled @ k.mT).masked_fill(hidden, float("-inf"))
        own = [(scaled * one[number]).sum(-1, keepdim=True) for one, _ in later]
        shares = torch.cat((past, *own), -1).softmax(-1)
        mixed = shares[..., :length] @ v
        for place, (_, one) in enumerate(later):
            mixed = mixed + shares[..., length + place, None] * one[number]
        attended.append(mixed)
    return join(attended)


def draft_loss(  # noqa: PLR0917 - all of one batch
    model: Nano, ids: Tensor, groups: Groups, hidden: Tensor, learnt: Tensor, logits: Tensor
) -> tuple[Tensor, Tensor]:
    """Hold the drafts against the main model.

    Args:
        model: the model.
        ids: tokens of dialogues one behind the other, `[tokens]`.
        groups: how many dialogues there are of each length.
        hidden: the main model's hidden states, `[tokens, hidden]`.
        learnt: the places where the main model predicts what is learnt.
        logits: the main model's there, `[places, vocabulary]`.

    Returns:
        The loss, summed over places, and how many places each draft step predicted as the main
        model does, given that the steps before did: `[steps]`.
    """
    target = logits.detach().softmax(-1)
    best = logits.detach().argmax(-1)
    agreed = torch.ones_like(best, dtype=torch.bool)
    counts = []
    loss = logits.new_zeros(())
    for weight, state in zip(WEIGHTS, draft_states(model, ids, groups, hidden), strict=True):
        drafted = F.linear(state[learnt - 1], model.head.detach())
        loss = loss + weight * F.cross_entropy(drafted, target, reduction="sum")
        agreed = agreed & (drafted.argmax(-1) == best)
        counts.append(agreed.sum())
    return loss / sum(WEIGHTS), torch.stack(counts)

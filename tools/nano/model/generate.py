"""Greedy answers in plain PyTorch, for a look at a checkpoint without a server."""

import torch
from tokenizers import Tokenizer
from torch import Tensor

from tools.nano.model.network import Cache, Group, Nano
from tools.nano.text.tokens import END_OF_TURN


@torch.inference_mode()
def greedy(
    model: Nano, prompts: list[list[int]], limit: int, *, ends: bool = True
) -> list[list[int]]:
    """Answer prompts greedily, all at once.

    Args:
        model: the model.
        prompts: tokens of each.
        limit: most tokens of an answer.
        ends: whether an answer ends by itself; if not, each has `limit` tokens.

    Returns:
        Each answer's tokens, with the one that ended it if it ended.
    """
    model.eval()
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    visible = torch.zeros(len(prompts), longest + limit, dtype=torch.bool)
    visible[:, longest:] = True
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        visible[row, longest - len(prompt) : longest] = True
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    positions = (torch.arange(longest) - (longest - lengths)[:, None]).clamp(min=0)
    cache = Cache(visible=visible)
    hidden = model(ids.view(-1), [Group(*ids.shape)], positions.view(-1), cache)
    hidden = hidden.view(len(prompts), longest, -1)[:, -1]
    answers: list[list[int]] = [[] for _ in prompts]
    running = torch.ones(len(prompts), dtype=torch.bool)
    for step in range(limit):
        chosen: Tensor = model.logits(hidden).argmax(-1)
        for row in running.nonzero().flatten().tolist():
            answers[row].append(int(chosen[row]))
        if ends:
            running &= ~torch.isin(chosen, torch.tensor(END_OF_TURN))
        if not running.any():
            break
        hidden = model(chosen, [Group(len(prompts), 1)], lengths + step, cache)
    return answers


def text(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Turn an answer's tokens into text, without the one that ends it."""
    kept = [token for token in ids if token not in END_OF_TURN]
    return str(tokenizer.decode(kept, skip_special_tokens=False))

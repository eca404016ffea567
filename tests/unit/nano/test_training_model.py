"""The training's model: what it computes is what transformers computes with the same weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Final

import pytest
import torch

from tools.nano.model import export, shape
from tools.nano.model.draft import STEPS, draft_states
from tools.nano.model.generate import greedy
from tools.nano.model.network import Group, Mixture, Nano
from tools.nano.training.batches import batches
from tools.nano.training.data import Sample

SMALL: Final = replace(shape.SHAPE, layers=3)


@pytest.fixture(scope="module")
def model() -> Nano:
    """A small model, random down to its biases and the routers' corrections."""
    torch.manual_seed(1)
    made = Nano(SMALL)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        made.head.mul_(20)
        for part in made.modules():
            if isinstance(part, Mixture):
                part.correction.normal_(std=0.1)
    return made.eval()


@pytest.fixture(scope="module")
def reference(model: Nano) -> Any:
    """Transformers' model with the same weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import Glm4MoeConfig, Glm4MoeForCausalLM  # noqa: PLC0415

        fields = shape.config(SMALL)
        del fields["architectures"]
        made = Glm4MoeForCausalLM(Glm4MoeConfig(**fields)).float().eval()
    state = {
        name: tensor
        for name, tensor in export.tensors(model)
        if not name.startswith(f"model.layers.{SMALL.layers}.") and ".experts." not in name
    }
    for number, layer in enumerate(model.layers):
        if isinstance(layer.feed, Mixture):
            prefix = f"model.layers.{number}.mlp.experts"
            state[f"{prefix}.gate_up_proj"] = layer.feed.gate_up
            state[f"{prefix}.down_proj"] = layer.feed.down
    made.load_state_dict(state)
    return made


@torch.inference_mode()
def test_its_logits_are_transformers(model: Nano, reference: Any) -> None:
    ids = torch.randint(0, 1200, (3, 24), generator=torch.Generator().manual_seed(2))
    expected = reference(ids).logits
    computed = model.logits(model(ids.flatten(), [Group(3, 24)])).view_as(expected)
    assert torch.allclose(computed, expected, atol=1e-4)


@torch.inference_mode()
def test_dialogues_of_different_lengths_do_not_see_each_other(model: Nano) -> None:
    ids = torch.arange(100, 124)
    together = model(ids, [Group(2, 4), Group(1, 16)])
    alone = [model(ids[a:b], [Group(1, b - a)]) for a, b in ((0, 4), (4, 8), (8, 24))]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@torch.inference_mode()
def test_a_branch_of_a_tree_is_as_if_it_were_the_only_one(model: Nano) -> None:
    # All branches of a stem begin with the user's mark.
    stem, branches = list(range(300, 310)), [[9, *range(401, 406)], [9, *range(501, 509)]]
    tree = Sample("tree", stem + branches[0] + branches[1], [1.0] * 25, (10, 6, 9))
    (batch,) = batches([tree], 100)
    hidden = model(batch.ids, batch.groups)
    drafts = draft_states(model, batch.ids, batch.groups, hidden)
    for start, branch in ((10, branches[0]), (16, branches[1])):
        length = len(stem) + len(branch)
        ids = torch.tensor(stem + branch)
        alone = model(ids, [Group(1, length)])
        places = slice(start, start + len(branch))
        assert torch.allclose(hidden[places], alone[len(stem) :], atol=1e-5)
        drafted = draft_states(model, ids, [Group(1, length)], alone)
        # The first places of a branch draft across its beginning, and its last has no next token.
        for one, other in zip(drafts, drafted, strict=True):
            apart = slice(start + STEPS, start + len(branch) - 1)
            assert torch.allclose(one[apart], other[len(stem) + STEPS : -1], atol=1e-5)


@torch.inference_mode()
def test_greedy_answers_of_padded_prompts_are_transformers(model: Nano, reference: Any) -> None:
    prompts = [list(range(300, 320)), list(range(700, 707))]
    for prompt, answer in zip(prompts, greedy(model, prompts, 6), strict=True):
        text = list(prompt)
        for token in answer:
            assert token == int(reference(torch.tensor([text])).logits[0, -1].argmax())
            text.append(token)


@torch.inference_mode()
def test_each_draft_step_is_what_drafting_token_by_token_gives(model: Nano) -> None:
    # As at inference: keys of the first step up to where drafting began, then its own.
    ids = torch.randint(0, 1200, (12,), generator=torch.Generator().manual_seed(3))
    hidden = model(ids, [Group(1, 12)])
    states = draft_states(model, ids, [Group(1, 12)], hidden)
    begun = 7  # the last place whose hidden state the main model gives
    for step in range(STEPS):
        length = begun + 1 + step
        given = hidden[:length].clone()
        for later in range(step):
            given[begun + 1 + later] = states[later][begun + later]
        alone = draft_states(
            model, ids[: length + 1], [Group(1, length + 1)], _joined(given, hidden)
        )
        assert torch.allclose(alone[0][length - 1], states[step][length - 1], atol=1e-5)


def _joined(given: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Add the hidden state of the last token, which no draft reads."""
    return torch.cat((given, hidden[len(given) : len(given) + 1]))


def test_backward_of_the_experts_is_autograds() -> None:
    torch.manual_seed(4)
    layer = Mixture(replace(SMALL, hidden_size=8, expert_width=4, experts=4)).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(6, 8, dtype=torch.double, requires_grad=True)
    layer.eval()
    assert torch.autograd.gradcheck(layer, (x,))
    plain = _plain_mixture(layer, x)
    inputs = (x, layer.gate_up, layer.down, layer.router)
    for one, other in zip(
        torch.autograd.grad(layer(x).square().sum(), inputs),
        torch.autograd.grad(plain.square().sum(), inputs),
        strict=True,
    ):
        assert torch.allclose(one, other)


def _plain_mixture(layer: Mixture, x: torch.Tensor) -> torch.Tensor:
    """Every expert on every token, the unchosen ones weighted 0."""
    scores = torch.sigmoid(x @ layer.router.T)
    chosen = torch.topk(scores + layer.correction, layer.chosen).indices
    weights = torch.zeros_like(scores).scatter(1, chosen, scores.gather(1, chosen))
    weights = weights / weights.sum(-1, keepdim=True)
    gate, up = torch.einsum("th,eoh->teo", x, layer.gate_up).chunk(2, -1)
    out = torch.einsum("teo,eho->teh", torch.nn.functional.silu(gate) * up, layer.down)
    together: torch.Tensor = (weights[..., None] * out).sum(1) + layer.shared(x)
    return together

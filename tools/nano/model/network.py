"""GLM-4.5's architecture in PyTorch, for training on a CPU: the main model and its NextN layer.

Held against transformers' `Glm4MoeForCausalLM` by a unit test. The NextN layer is run as
SGLang runs it (srt/models/glm4_moe_nextn.py): it reads the embedding of the next token
beside the hidden state behind the last norm, and shares embedding and head with the model.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from tools.nano.model.experts import mixture
from tools.nano.model.shape import ROPE_THETA, SHAPE, Shape

Angles = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Group:
    """Dialogues of one length that stand one behind the other.

    Attributes:
        count: how many there are.
        length: tokens of each.
        cuts: tokens of a tree's stem and of each of its branches; nothing for dialogues.
    """

    count: int
    length: int
    cuts: tuple[int, ...] = ()

    def places(self) -> Tensor:
        """Each token's place, `[count x length]`: a branch goes on from the stem."""
        if not self.cuts:
            return torch.arange(self.length).repeat(self.count)
        branches = (torch.arange(self.cuts[0], self.cuts[0] + cut) for cut in self.cuts[1:])
        return torch.cat((torch.arange(self.cuts[0]), *branches))

    def hidden(self) -> Tensor:
        """What a tree's token must not see, `[length, length]`: what follows it, other branches."""
        number = torch.repeat_interleave(torch.tensor(self.cuts))
        seen = (number[None, :] == 0) | (number[None, :] == number[:, None])
        return ~seen.tril()


Groups = Sequence[Group]


@dataclass
class Cache:
    """Keys and values of each layer, `[batch, heads, tokens, head_dim]`, of left-padded rows."""

    visible: Tensor
    """`[batch, tokens]`: false where a row is padded."""
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Add a layer's keys and values; return all of them, and what each new token sees."""
        tokens = keys.shape[2]
        if layer < len(self.keys):
            keys = torch.cat((self.keys[layer], keys), 2)
            values = torch.cat((self.values[layer], values), 2)
            self.keys[layer], self.values[layer] = keys, values
        else:
            self.keys.append(keys)
            self.values.append(values)
        every = keys.shape[2]
        causal = torch.ones(tokens, every, dtype=torch.bool).tril(every - tokens)
        itself = causal & ~causal.tril(every - tokens - 1)
        return keys, values, causal & self.visible[:, None, None, :every] | itself


def split(x: Tensor, groups: Groups) -> list[Tensor]:
    """Turn `[tokens, heads, head_dim]` into `[dialogues, heads, length, head_dim]` per group."""
    parts = x.split([group.count * group.length for group in groups])
    return [
        part.view(group.count, group.length, *x.shape[1:]).transpose(1, 2)
        for part, group in zip(parts, groups, strict=True)
    ]


def join(parts: list[Tensor]) -> Tensor:
    """Undo `split`, with the heads side by side: `[tokens, heads x head_dim]`."""
    flat = [part.transpose(1, 2).reshape(-1, part.shape[1] * part.shape[3]) for part in parts]
    return torch.cat(flat)


def places(groups: Groups) -> Tensor:
    """Return each token's place in its dialogue, `[tokens]`."""
    return torch.cat([group.places() for group in groups])


def attend(queries: Tensor, keys: Tensor, values: Tensor, group: Group) -> Tensor:
    """Let every token of a group attend to what it sees: `[count, heads, length, head_dim]`.

    A tree's branches attend one by one, to the stem and to themselves: a mask over the whole tree
    would cost its length squared.
    """
    if not group.cuts:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    attention = F.scaled_dot_product_attention
    # Split, not sliced: the backward of a slice fills the whole with zeros.
    (stem, *owned), (stem_keys, *own_keys), (stem_values, *own_values) = (
        part.split(group.cuts, 2) for part in (queries, keys, values)
    )
    attended = [attention(stem, stem_keys, stem_values, is_causal=True)]
    for own, its_keys, its_values in zip(owned, own_keys, own_values, strict=True):
        seen_keys = torch.cat((stem_keys, its_keys), 2)
        seen_values = torch.cat((stem_values, its_values), 2)
        mask = branch_mask(group.cuts[0], own.shape[2])
        attended.append(attention(own, seen_keys, seen_values, attn_mask=mask))
    return torch.cat(attended, 2)


@functools.lru_cache(maxsize=256)
def branch_mask(stem: int, own: int) -> Tensor:
    """What is added to a branch's scores, `[own, stem + own]`: every layer asks for the same."""
    mask = torch.zeros(own, stem + own)
    mask[:, stem:] = torch.full((own, own), float("-inf")).triu(1)
    return mask


def rotary(positions: Tensor, shape: Shape) -> Angles:
    """Return cosine and sine of the rotated half of each head, `[tokens, 1, head_dim / 4]`."""
    rotated = shape.head_dim // 2
    steps = torch.arange(0, rotated, 2, dtype=torch.float32) / rotated
    angles = positions[:, None, None].float() * ROPE_THETA**-steps
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the first half of each head, `[tokens, heads, head_dim]`, and keep the rest."""
    half = cosine.shape[-1]
    first, second, rest = x.split([half, half, x.shape[-1] - 2 * half], -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine, rest), -1)


class _Normalise(Function):
    """Root mean square normalisation with its backward written out: half the passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = (scale.square_().div_(x.shape[-1])).add_(eps).rsqrt_()
        unit: Tensor = x * scale
        ctx.save_for_backward(unit, weight, scale)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        unit, weight, scale = ctx.saved_tensors
        product = gradient * unit
        flat = product.view(-1, product.shape[-1])
        d_weight = flat.sum(0)
        along = torch.mv(flat, weight).view(scale.shape).div_(-unit.shape[-1])
        d_x = torch.addcmul(gradient * weight, unit, along).mul_(scale)
        return d_x, d_weight, None


class Norm(nn.Module):
    """Root mean square normalisation."""

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = _Normalise.apply(x, self.weight, self.eps)
        return normalised


class Attention(nn.Module):
    """Grouped-query attention; queries, keys and values come from one matrix with a bias."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        wide = shape.heads * shape.head_dim
        narrow = shape.kv_heads * shape.head_dim
        self.qkv = nn.Parameter(torch.empty(wide + 2 * narrow, shape.hidden_size))
        self.bias = nn.Parameter(torch.zeros(wide + 2 * narrow))
        self.out = nn.Parameter(torch.empty(shape.hidden_size, wide))

    def project(self, x: Tensor, angles: Angles) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotated queries and keys, and values: `[tokens, heads, head_dim]`.

        Keys and values are repeated for the queries of their group.
        """
        shape = self.shape
        every = shape.heads + 2 * shape.kv_heads
        heads = F.linear(x, self.qkv, self.bias).view(-1, every, shape.head_dim)
        # Split, not sliced: the backward of a slice fills the whole with zeros.
        turned, values = heads.split([shape.heads + shape.kv_heads, shape.kv_heads], 1)
        queries, keys = rotate(turned, *angles).split([shape.heads, shape.kv_heads], 1)
        repeats = shape.heads // shape.kv_heads
        return queries, keys.repeat_interleave(repeats, 1), values.repeat_interleave(repeats, 1)

    def forward(
        self, x: Tensor, angles: Angles, groups: Groups, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        parts = zip(*(split(part, groups) for part in self.project(x, angles)), strict=True)
        if cache is None:
            attended = [
                attend(queries, keys, values, group)
                for (queries, keys, values), group in zip(parts, groups, strict=True)
            ]
        else:
            ((queries, keys, values),) = parts
            keys, values, mask = cache.extend(layer, keys, values)
            attended = [F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)]
        return F.linear(join(attended), self.out)


class Gated(nn.Module):
    """A gated feed-forward block; the gate's and the other matrix stand in one."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.gate_up = nn.Parameter(torch.empty(2 * width, hidden))
        self.down = nn.Parameter(torch.empty(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        gate, up = F.linear(x, self.gate_up).chunk(2, -1)
        return F.linear(F.silu(gate) * up, self.down)


class Mixture(nn.Module):
    """Routed experts, chosen by sigmoid scores and a correction, beside a shared one.

    `load` counts the tokens of each expert since it was last cleared: the trainer moves the
    correction against it (DeepSeek-V3, section 2.1.2), so that no loss is spent on balance.
    """

    correction: Tensor
    load: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden, width = shape.hidden_size, shape.expert_width
        self.chosen = shape.experts_per_token
        self.router = nn.Parameter(torch.empty(shape.experts, hidden))
        self.gate_up = nn.Parameter(torch.empty(shape.experts, 2 * width, hidden))
        self.down = nn.Parameter(torch.empty(shape.experts, hidden, width))
        self.shared = Gated(hidden, width)
        self.register_buffer("correction", torch.zeros(shape.experts))
        self.register_buffer("load", torch.zeros(shape.experts), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.sigmoid(F.linear(x, self.router))
        chosen = torch.topk(scores.detach() + self.correction, self.chosen, sorted=False).indices
        weights = scores.gather(1, chosen)
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        mixed, load = mixture(x, chosen, weights, self.gate_up, self.down)
        if self.training:
            self.load += load
        together: Tensor = mixed + self.shared(x)
        return together


class Layer(nn.Module):
    """One decoder layer: attention, then a dense block or a mixture of experts."""

    def __init__(self, shape: Shape, *, dense: bool) -> None:
        super().__init__()
        self.attention_norm = Norm(shape.hidden_size)
        self.attention = Attention(shape)
        self.feed_norm = Norm(shape.hidden_size)
        self.feed = Gated(shape.hidden_size, shape.dense_width) if dense else Mixture(shape)

    def forward(
        self, x: Tensor, angles: Angles, groups: Groups, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), angles, groups, cache, layer)
        fed: Tensor = x + self.feed(self.feed_norm(x))
        return fed


class NextN(nn.Module):
    """The draft layer: what follows the next token, from its embedding and the hidden state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding_norm = Norm(shape.hidden_size)
        self.hidden_norm = Norm(shape.hidden_size)
        self.join = nn.Parameter(torch.empty(shape.hidden_size, 2 * shape.hidden_size))
        self.layer = Layer(shape, dense=False)
        self.norm = Norm(shape.hidden_size)

    def enter(self, embedded: Tensor, hidden: Tensor) -> Tensor:
        """Join the next token's embedding and the hidden state: the layer's input."""
        both = torch.cat((self.embedding_norm(embedded), self.hidden_norm(hidden)), -1)
        return F.linear(both, self.join)


class Nano(nn.Module):
    """The main model, and its NextN layer, which `forward` does not run."""

    def __init__(self, shape: Shape = SHAPE) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Parameter(torch.empty(shape.vocabulary, shape.hidden_size))
        self.layers = nn.ModuleList(
            Layer(shape, dense=number < shape.dense_layers) for number in range(shape.layers)
        )
        self.norm = Norm(shape.hidden_size)
        self.head = nn.Parameter(torch.empty(shape.vocabulary, shape.hidden_size))
        self.nextn = NextN(shape)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Draw the weights: what writes into the residual stream starts small."""
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            leaf = name.rsplit(".", 1)[-1]
            spread = parameter.shape[-1] ** -0.5
            if leaf in ("out", "down"):
                spread *= (2 * self.shape.layers) ** -0.5
            elif leaf in ("embedding", "head"):
                spread = 0.02 if leaf == "head" else 0.5
            nn.init.normal_(parameter, std=spread)

    def forward(
        self,
        ids: Tensor,
        groups: Groups,
        positions: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Read dialogues that stand one behind the other.

        Args:
            ids: tokens of all, `[tokens]`.
            groups: how many there are of each length.
            positions: of each token; without, its place in its dialogue.
            cache: keys and values of what was read before, with one group only.

        Returns:
            The hidden states behind the last norm, `[tokens, hidden]`.
        """
        angles = rotary(places(groups) if positions is None else positions, self.shape)
        x = F.embedding(ids, self.embedding)
        for number, layer in enumerate(self.layers):
            x = layer(x, angles, groups, cache, number)
        hidden: Tensor = self.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Return `[..., vocabulary]`."""
        return F.linear(hidden, self.head)

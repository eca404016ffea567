"""Muon for the matrices inside the layers, AdamW for everything else.

Source: Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
Matrices of one shape are orthogonalised together, which is what makes it cheap on a CPU.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

ADAM_LEAVES: Final = ("embedding", "head", "router")


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of `[n, rows, columns]` near 1, by Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    turned: Tensor = x if wide else x.mT
    return turned


class Muon:
    """Momentum whose matrix is made orthogonal before it is taken as a step.

    Args:
        parameters: of two dimensions, or of three for a stack of matrices.
        momentum: of the running mean of gradients, in Nesterov's form.
        decay: share of a weight that a step takes away, times the learning rate.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], momentum: float = 0.95, decay: float = 0.05
    ) -> None:
        self.momentum = momentum
        self.decay = decay
        self.groups: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            self.groups[parameter.shape[-2:]].append(parameter)
        self.means = {
            parameter: torch.zeros_like(parameter)
            for group in self.groups.values()
            for parameter in group
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Take a step; parameters without a gradient stay."""
        actives: list[list[nn.Parameter]] = []
        updates: list[Tensor] = []
        for shape, group in self.groups.items():
            active = [parameter for parameter in group if parameter.grad is not None]
            if not active:
                continue
            blended = []
            for parameter in active:
                assert parameter.grad is not None  # noqa: S101 - for mypy, chosen just above
                mean = self.means[parameter]
                mean.lerp_(parameter.grad, 1 - self.momentum)
                blended.append(parameter.grad.lerp(mean, self.momentum).view(-1, *shape))
            actives.append(active)
            updates.append(self._turned(torch.cat(blended)))
        self._exchange(updates)
        for active, turned in zip(actives, updates, strict=True):
            rows, columns = turned.shape[-2:]
            size = rate * max(1.0, rows / columns) ** 0.5
            sizes = [parameter.numel() // (rows * columns) for parameter in active]
            for parameter, update in zip(active, turned.split(sizes), strict=True):
                parameter.mul_(1 - rate * self.decay)
                parameter.add_(update.view_as(parameter), alpha=-size)

    def _turned(self, stack: Tensor) -> Tensor:
        """Make this process's part of a stack orthogonal; the rest is zero."""
        if not dist.is_initialized():
            return orthogonal(stack)
        rank, processes = dist.get_rank(), dist.get_world_size()
        own = slice(stack.shape[0] * rank // processes, stack.shape[0] * (rank + 1) // processes)
        turned = torch.zeros_like(stack)
        turned[own] = orthogonal(stack[own])
        return turned

    @staticmethod
    def _exchange(updates: list[Tensor]) -> None:
        """Put the parts of all processes together."""
        if not dist.is_initialized():
            return
        together = torch.cat([update.reshape(-1) for update in updates])
        dist.all_reduce(together)
        sizes = [update.numel() for update in updates]
        for update, summed in zip(updates, together.split(sizes), strict=True):
            update.copy_(summed.view_as(update))

    def state(self) -> list[Tensor]:
        """Return the running means, in the order of the parameters."""
        return list(self.means.values())

    def load(self, state: list[Tensor]) -> None:
        """Take up running means again."""
        for mean, saved in zip(self.means.values(), state, strict=True):
            mean.copy_(saved)


class Optimizer:
    """Both, and their learning rates under one schedule.

    Args:
        model: gives names and parameters.
        matrix_rate: Muon's learning rate.
        other_rate: AdamW's.
    """

    def __init__(self, model: nn.Module, matrix_rate: float, other_rate: float) -> None:
        self.matrix_rate = matrix_rate
        self.other_rate = other_rate
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            inner = parameter.dim() >= 2 and name.rsplit(".", 1)[-1] not in ADAM_LEAVES
            (matrices if inner else others).append(parameter)
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(
            others, lr=other_rate, betas=(0.9, 0.95), weight_decay=0.0, foreach=True
        )

    def step(self, scale: float) -> None:
        """Take a step with both learning rates times `scale`."""
        self.muon.step(self.matrix_rate * scale)
        for group in self.adam.param_groups:
            group["lr"] = self.other_rate * scale
        self.adam.step()

    def state(self) -> dict[str, Any]:
        """Return all that a later run needs to go on."""
        return {"muon": self.muon.state(), "adam": self.adam.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken."""
        self.muon.load(state["muon"])
        self.adam.load_state_dict(state["adam"])

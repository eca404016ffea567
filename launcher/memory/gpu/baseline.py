"""What CUDA, NCCL and the driver take of a card before SGLang looks at what is free. Pure.

Nobody publishes a formula for it, so it is a range: what others' servers had taken, by their logs.
`docs/plan.md` has the logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from launcher.system.hardware import GIB

# Cards whose boards are joined by NVLink as they are sold in servers; the same name with PCIe is
# not. The launcher's own names (`launcher.memory.gpu.models`) mean the former where there are both.
_NVLINK: Final = re.compile(r"SXM|NVL|(?<![A-Z0-9])(?:[AH]100|[AH]800|H20|H200|G?[BH]200|G?B300)\b")
_PCIE: Final = re.compile(r"PCI", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Spread:
    """Bytes that are known from others' measurements only: the least, the usual, the most."""

    least_bytes: int
    usual_bytes: int
    most_bytes: int

    def less(self, size_bytes: int) -> Spread:
        """Without what is counted elsewhere, never below 0."""
        sizes = (self.least_bytes, self.usual_bytes, self.most_bytes)
        return Spread(*(max(0, size - size_bytes) for size in sizes))


def _gib(least: float, usual: float, most: float) -> Spread:
    return Spread(int(least * GIB), int(usual * GIB), int(most * GIB))


# Of the memory that `nvidia-smi` shows in all, so with what the driver reserves (0.4 to 0.7 GiB).
# The logs behind each, with their sources: docs/plan.md, "What is taken before the baseline".
ONE_RANK: Final = _gib(0.7, 1.0, 1.3)
ONE_RANK_HOPPER: Final = _gib(1.05, 1.2, 1.75)
ONE_RANK_BLACKWELL: Final = _gib(1.4, 1.5, 1.9)
RANKS_ON_PCIE: Final = _gib(0.9, 1.1, 1.3)
RANKS_ON_NVLINK: Final = _gib(2.0, 2.3, 3.1)


def joined_by_nvlink(name: str) -> bool:
    """Whether cards of that name are, as the driver or `--gpus` names them."""
    return _PCIE.search(name) is None and _NVLINK.search(name.upper()) is not None


def taken_on_gpu(
    name: str, compute_capability: tuple[int, int], ranks: int, *, nvlink: bool | None
) -> Spread:
    """What is taken of each card before the baseline, of the memory that `nvidia-smi` shows.

    Args:
        name: the card's.
        compute_capability: the card's.
        ranks: how many processes share the work; one has no communicators.
        nvlink: what the driver says; None where it does not, so that the name decides.
    """
    if ranks > 1:
        linked = joined_by_nvlink(name) if nvlink is None else nvlink
        return RANKS_ON_NVLINK if linked else RANKS_ON_PCIE
    match compute_capability[0]:
        case 9:
            return ONE_RANK_HOPPER
        case 10:
            return ONE_RANK_BLACKWELL
    return ONE_RANK

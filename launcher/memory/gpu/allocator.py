"""What PyTorch's allocator takes of a card for tensors of given sizes. Pure.

SGLang sizes its KV cache by what CUDA says is free, and CUDA counts the segments that PyTorch took,
not the tensors in them. Tensors of a few MiB leave gaps: with tensor parallelism they are many.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from launcher.system.hardware import MIB

# PyTorch, c10/core/AllocatorConfig.h and c10/cuda/CUDACachingAllocator.cpp.
BLOCK_BYTES: Final = 512
SMALL_TENSOR_BYTES: Final = 1 * MIB
SMALL_SEGMENT_BYTES: Final = 2 * MIB
LARGE_TENSOR_BYTES: Final = 10 * MIB
LARGE_SEGMENT_BYTES: Final = 20 * MIB
ROUNDED_TO_BYTES: Final = 2 * MIB


def segment_bytes(tensors: Iterable[int]) -> int:
    """What the segments of tensors take that are made one after another and kept.

    Args:
        tensors: bytes of each, in the order in which they are made.

    Formula: a tensor goes into the smallest gap that takes it. Else there is a new segment: 2 MiB
    for tensors of up to 1 MiB, 20 MiB for those below 10 MiB, and for larger ones their own size,
    rounded up to 2 MiB. What is left of a segment is a gap, unless it is too small for its pool.
    Source: PyTorch, c10/cuda/CUDACachingAllocator.cpp, `get_allocation_size` and `should_split`.
    """
    return sum(pool.taken_bytes for pool in _filled(tensors))


def block_bytes(tensors: Iterable[int]) -> int:
    """What PyTorch itself calls allocated for such tensors: the segments without their gaps.

    Args:
        tensors: bytes of each, in the order in which they are made.

    Formula: a gap that is too small for its pool belongs to the tensor before it.
    Source: PyTorch, c10/cuda/CUDACachingAllocator.cpp, `should_split`; vLLM's log tells this.
    """
    return sum(pool.taken_bytes - pool.gaps_bytes for pool in _filled(tensors))


def _filled(tensors: Iterable[int]) -> tuple[_Pool, _Pool]:
    small, large = _Pool(BLOCK_BYTES), _Pool(SMALL_TENSOR_BYTES + 1)
    for tensor in tensors:
        size = _round_up(tensor, BLOCK_BYTES)
        (small if size <= SMALL_TENSOR_BYTES else large).add(size)
    return small, large


class _Pool:
    """The segments for small, or for large tensors."""

    def __init__(self, least_gap_bytes: int) -> None:
        self.taken_bytes = 0
        self._least_gap_bytes = least_gap_bytes
        self._gaps: list[int] = []

    @property
    def gaps_bytes(self) -> int:
        """What is left of the segments for further tensors."""
        return sum(self._gaps)

    def add(self, size: int) -> None:
        """Put a tensor of `size` bytes into a gap or a new segment."""
        at = bisect_left(self._gaps, size)
        if at < len(self._gaps):
            block = self._gaps.pop(at)
        else:
            block = _segment_for(size)
            self.taken_bytes += block
        if block - size >= self._least_gap_bytes:
            insort(self._gaps, block - size)


def _segment_for(size: int) -> int:
    if size <= SMALL_TENSOR_BYTES:
        return SMALL_SEGMENT_BYTES
    if size < LARGE_TENSOR_BYTES:
        return LARGE_SEGMENT_BYTES
    return _round_up(size, ROUNDED_TO_BYTES)


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step

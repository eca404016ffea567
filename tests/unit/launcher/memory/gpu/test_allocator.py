"""What PyTorch's allocator takes for tensors, by its own rules."""

from __future__ import annotations

import pytest

from launcher.memory.gpu.allocator import segment_bytes
from launcher.system.hardware import MIB


@pytest.mark.parametrize(
    ("tensors", "segments_mib"),
    [
        ([], 0),
        ([1], 2),
        ([MIB], 2),
        ([MIB, MIB, 1], 4),  # two fill a segment, to the byte
        ([MIB + 1], 20),
        ([5 * MIB] * 4, 20),
        ([5 * MIB] * 5, 40),
        ([10 * MIB - 512], 20),
        ([10 * MIB], 10),
        ([11 * MIB], 12),
        # A gap of 12 MiB is taken by 11, and what is left is too small to be a gap of its own.
        ([8 * MIB, 11 * MIB, MIB], 22),
        # Gaps of 2 and 11 MiB: 1.5 go into the smaller, and 11 into the other.
        ([9 * MIB, 9 * MIB, 9 * MIB, 3 * MIB // 2, 11 * MIB], 40),
    ],
)
def test_tensors_fill_gaps_and_then_segments(tensors: list[int], segments_mib: int) -> None:
    assert segment_bytes(tensors) == segments_mib * MIB

"""What the fuzzer begins with is read by each parser, so that its targets stay what they are."""

from __future__ import annotations

import pytest

from tests.fuzz.parsers import SEEDS, TARGETS


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seeds", SEEDS.values(), ids=SEEDS)
def test_each_target_returns_for_each_seed_and_for_its_parts(
    target: str, seeds: tuple[bytes, ...]
) -> None:
    for seed in seeds:
        for end in range(0, len(seed) + 1, 1 + len(seed) // 20):
            TARGETS[target](seed[:end])

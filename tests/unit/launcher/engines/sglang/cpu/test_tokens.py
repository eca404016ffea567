# ruff: noqa: FBT001 -- hypothesis draws a boolean.
"""Token rows around verify against plain loops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from launcher.engines.sglang.plugins.cpu.kernels import tokens


def test_bonus_token_is_the_last_accepted_one() -> None:
    accepted = torch.tensor([[5, 6, 0, 0], [7, 0, 0, 0], [1, 2, 3, 4]], dtype=torch.int32)
    bonus = torch.zeros(3, dtype=torch.int32)

    tokens.fill_bonus_tokens_cpu(accepted.flatten(), torch.tensor([2, 1, 4]), bonus, 4)

    assert bonus.tolist() == [6, 7, 4]


@given(st.lists(st.integers(-1, 11), min_size=1, max_size=12))
def test_accepted_slots_are_packed_in_order(index: list[int]) -> None:
    slots = torch.arange(100, 112)
    out = torch.full((len(index),), -7)

    tokens.fill_accept_out_cache_loc_cpu(torch.tensor(index, dtype=torch.int32), slots, out)

    expected = [100 + i for i in index if i != -1]
    assert out.tolist() == expected + [-7] * (len(index) - len(expected))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.booleans())
def test_inputs_shift_left_and_end_in_the_next_token(lengths: list[int], selects: bool) -> None:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    ids = list(range(50, 50 + sum(lengths)))
    expected = list(ids)
    select: list[int] = []
    for request, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        for i in range(start, start + length - 1):
            expected[i] = ids[i + 1]
        select.append(start + max(length - 2, 0))
        if length:
            where = select[request] if selects else start + length - 1
            expected[where] = 900 + request
    actual = torch.tensor(ids, dtype=torch.int64)

    tokens.rotate_input_ids_cpu(
        actual,
        torch.tensor(starts, dtype=torch.int32),
        torch.tensor(lengths, dtype=torch.int32),
        torch.arange(900, 900 + len(lengths))[:, None],
        torch.tensor(select) if selects else None,
    )

    assert actual.tolist() == expected

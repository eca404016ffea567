"""KV-cache slot functions against plain loops over the same table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from launcher.engines.sglang.plugins.cpu.kernels import cache

REQUESTS, POOL_LEN = 6, 40

batches = st.integers(1, 5).flatmap(
    lambda batch: st.tuples(
        st.permutations(range(REQUESTS)).map(lambda rows: list(rows[:batch])),
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=batch, max_size=batch),
    )
)


def make_table() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    slots = torch.randperm(REQUESTS * POOL_LEN, generator=generator)
    return slots.to(torch.int32).view(REQUESTS, POOL_LEN)


@settings(max_examples=40)
@given(batches)
def test_extend_cache_locs_are_read_request_after_request(
    batch: tuple[list[int], list[tuple[int, int]]],
) -> None:
    rows, ranges = batch
    table = make_table()
    start = torch.tensor([first for first, _ in ranges])
    end = torch.tensor([first + length for first, length in ranges])
    expected = [
        int(table[row, column])
        for row, (first, length) in zip(rows, ranges, strict=True)
        for column in range(first, first + length)
    ]
    out = torch.full((60,), -7)

    cache.assign_extend_cache_locs_cpu(torch.tensor(rows), table, start, end, out, POOL_LEN)

    assert out[: len(expected)].tolist() == expected
    assert (out[len(expected) :] == -7).all()


@settings(max_examples=40)
@given(batches)
def test_req_to_token_pool_receives_slots_request_after_request(
    batch: tuple[list[int], list[tuple[int, int]]],
) -> None:
    rows, ranges = batch
    table = make_table()
    expected = table.tolist()
    slots = iter(range(1000, 1100))
    for row, (first, length) in zip(rows, ranges, strict=True):
        for column in range(first, first + length):
            expected[row][column] = next(slots)

    cache.assign_req_to_token_pool_cpu(
        torch.tensor(rows),
        table,
        torch.tensor([first for first, _ in ranges], dtype=torch.int32),
        torch.tensor([first + length for first, length in ranges]),
        torch.arange(1000, 1100),
        POOL_LEN,
    )

    assert table.tolist() == expected


@pytest.mark.parametrize(("topk", "steps"), [(1, 3), (4, 3), (2, 5)])
def test_draft_cache_locs_follow_the_committed_tokens(topk: int, steps: int) -> None:
    table = make_table()
    rows, lengths = [4, 1, 2], [0, 7, 13]
    out = torch.zeros(3 * topk * steps, dtype=torch.int64)

    cache.assign_draft_cache_locs_contiguous_cpu(
        torch.tensor(rows), table, torch.tensor(lengths), out, POOL_LEN, topk, steps
    )

    expected = [
        int(table[row, length + i])
        for row, length in zip(rows, lengths, strict=True)
        for i in range(topk * steps)
    ]
    assert out.tolist() == expected


@pytest.mark.parametrize(("topk", "steps"), [(1, 3), (4, 3), (2, 5)])
def test_each_draft_branch_reads_the_prefix_and_its_own_slots(topk: int, steps: int) -> None:
    table = make_table()
    rows, lengths = [4, 1, 2], [1, 7, 13]

    expanded = cache.build_draft_decode_metadata_cpu(
        table, torch.tensor(rows), torch.tensor(lengths), topk, steps, POOL_LEN
    )

    assert expanded.shape[0] == len(rows) * topk
    for b, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        for k in range(topk):
            prefix = table[row, :length].tolist()
            own = [int(table[row, length + k * steps + i]) for i in range(steps)]
            assert expanded[b * topk + k, : length + steps].tolist() == prefix + own


def test_kv_slots_move_in_every_layer_as_if_all_were_read_first() -> None:
    # Rows of 12 bytes and of 64 bytes, and a chain of overlapping moves.
    small = torch.arange(10 * 3, dtype=torch.float32).view(10, 3)
    large = torch.randn(10, 2, 16, dtype=torch.bfloat16)
    expected_small, expected_large = small.clone(), large.clone()
    targets, sources = [2, 3, 4], [3, 4, 9]
    old_small, old_large = small.clone(), large.clone()
    for target, source in zip(targets, sources, strict=True):
        expected_small[target] = old_small[source]
        expected_large[target] = old_large[source]

    cache.copy_all_layer_kv_cache_cpu(
        torch.tensor([small.data_ptr(), large.data_ptr()], dtype=torch.uint64),
        torch.tensor([12, 64]),
        torch.tensor(targets),
        torch.tensor(sources, dtype=torch.int32),
    )

    assert torch.equal(small, expected_small)
    assert torch.equal(large, expected_large)


def test_moving_no_slot_touches_no_memory() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    cache.copy_all_layer_kv_cache_cpu(
        torch.tensor([1], dtype=torch.uint64), torch.tensor([8]), nothing, nothing
    )

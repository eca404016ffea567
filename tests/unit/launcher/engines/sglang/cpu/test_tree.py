# ruff: noqa: FBT001, S311 -- hypothesis draws a boolean.
"""Draft trees against a tree that is kept as plain parent links."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from launcher.engines.sglang.plugins.cpu.kernels import tree

shapes = st.sampled_from([(1, 3, 4), (1, 5, 6), (2, 3, 5), (4, 3, 8), (3, 4, 12), (8, 6, 32)])


class Picks:
    """One request's draft run: what each step expanded, and which picks were selected.

    Step 0 offers ``topk`` picks; each later step offers ``topk`` children for each of
    ``topk`` picks of the step before. Picks are numbered in that order, which is how
    SGLang numbers them (srt/speculative/eagle_utils.py, ``organize_draft_results``).
    """

    def __init__(self, rng: random.Random, topk: int, steps: int, nodes: int) -> None:
        expanded = [-1]
        parent_of = dict.fromkeys(range(topk), -1)
        frontier = list(range(topk))
        for _ in range(1, steps):
            expanded += frontier
            offered = []
            for parent in frontier:
                for _ in range(topk):
                    pick = len(parent_of)
                    parent_of[pick] = parent
                    offered.append(pick)
            frontier = sorted(rng.sample(offered, topk))
        # The kernel finds a pick's parent at parent_list[pick // topk].
        for pick, parent in parent_of.items():
            assert expanded[pick // topk] == parent
        # A parent scores at least as high as its child: the selection is closed upwards.
        chosen: list[int] = []
        while len(chosen) < min(nodes - 1, len(parent_of)):
            open_picks = [
                pick
                for pick, parent in parent_of.items()
                if pick not in chosen and (parent == -1 or parent in chosen)
            ]
            chosen.append(rng.choice(open_picks))
        self.parent_list = expanded
        self.selected = sorted(chosen)
        self.parents = [
            -1,
            *(
                0 if parent_of[pick] == -1 else self.selected.index(parent_of[pick]) + 1
                for pick in self.selected
            ),
        ]

    def path(self, node: int) -> list[int]:
        """Nodes from ``node`` up to the root."""
        nodes = [node]
        while node != 0:
            node = self.parents[node]
            nodes.append(node)
        return nodes


def build(
    picks: list[Picks], seq_lens: list[int], topk: int, steps: int, mode: int
) -> tuple[torch.Tensor, ...]:
    batch, nodes = len(picks), len(picks[0].parents)
    cells = sum(nodes * (nodes + (0 if mode == tree.QLEN_ONLY else n)) for n in seq_lens)
    mask = torch.ones(cells, dtype=torch.bool)
    positions = torch.empty(batch * nodes, dtype=torch.int64)
    links = [torch.full((batch, nodes), -1) for _ in range(3)]
    tree.build_tree_kernel_efficient_cpu(
        torch.tensor([p.parent_list if steps > 1 else [] for p in picks], dtype=torch.int64),
        torch.tensor([p.selected for p in picks]),
        torch.tensor(seq_lens),
        mask,
        positions,
        links[0],
        links[1],
        links[2],
        topk,
        steps,
        nodes,
        mode,
    )
    return mask, positions, *links


@settings(max_examples=40)
@given(shapes, st.integers(0, 10**6), st.integers(1, 4), st.booleans())
def test_tree_matches_its_parent_links(
    shape: tuple[int, int, int], seed: int, batch: int, full_mask: bool
) -> None:
    topk, steps, nodes = shape
    rng = random.Random(seed)
    picks = [Picks(rng, topk, steps, nodes) for _ in range(batch)]
    nodes = len(picks[0].parents)
    seq_lens = [rng.randint(1, 20) for _ in range(batch)]
    mode = tree.FULL_MASK if full_mask else tree.QLEN_ONLY

    mask, positions, index, child, sibling = build(picks, seq_lens, topk, steps, mode)

    assert index.flatten().tolist() == list(range(batch * nodes))
    cell = 0
    for b, (pick, seq_len) in enumerate(zip(picks, seq_lens, strict=True)):
        prefix = seq_len if full_mask else 0
        for node in range(nodes):
            path = pick.path(node)
            row = mask[cell : cell + prefix + nodes].tolist()
            cell += prefix + nodes
            assert row == [True] * prefix + [other in path for other in range(nodes)]
            assert positions[b * nodes + node] == seq_len + len(path) - 1
            children = [n for n in range(nodes) if pick.parents[n] == node]
            assert child[b, node] == (children[0] if children else -1)
            for i, member in enumerate(children):
                rest = children[i + 1 :]
                assert sibling[b, member] == (rest[0] if rest else -1)


def test_single_step_has_no_expanded_picks() -> None:
    picks = [Picks(random.Random(0), 4, 1, 4)]
    *_, child, sibling = build(picks, [5], 4, 1, tree.QLEN_ONLY)
    assert child.tolist() == [[1, -1, -1, -1]]
    assert sibling.tolist() == [[-1, 2, 3, -1]]


def test_a_token_whose_parent_was_not_selected_is_linked_nowhere() -> None:
    # Pick 6 is the third child of pick 0 with top-k 2 (group 3 -> parent_list[3] = 2).
    mask = torch.ones(9, dtype=torch.bool)
    links = [torch.full((1, 3), -1) for _ in range(3)]
    tree.build_tree_kernel_efficient_cpu(
        torch.tensor([[-1, 0, 1, 2]]),
        torch.tensor([[0, 6]]),
        torch.tensor([4]),
        mask,
        torch.empty(3, dtype=torch.int64),
        links[0],
        links[1],
        links[2],
        2,
        3,
        3,
        tree.QLEN_ONLY,
    )
    assert links[1].tolist() == [[1, -1, -1]]
    assert links[2].tolist() == [[-1, -1, -1]]
    assert mask.view(3, 3)[2].tolist() == [True, False, True]


def test_bit_packed_masks_are_refused() -> None:
    empty = torch.empty(0, dtype=torch.int64)
    with pytest.raises(NotImplementedError, match="bit packing"):
        tree.build_tree_kernel_efficient_cpu(
            empty, empty, empty, empty, empty, empty, empty, empty, 2, 3, 8, 2
        )


@settings(max_examples=40)
@given(shapes, st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 4))
def test_verify_walks_along_the_target_models_choices(
    shape: tuple[int, int, int], seed: int, batch: int, vocabulary: int
) -> None:
    topk, steps, nodes = shape
    rng = random.Random(seed)
    picks = [Picks(rng, topk, steps, nodes) for _ in range(batch)]
    nodes = len(picks[0].parents)
    *_, index, child, sibling = build(picks, [3] * batch, topk, steps, tree.QLEN_ONLY)
    # A small vocabulary makes matches, and equal siblings, frequent.
    tokens = [[rng.randrange(vocabulary) for _ in range(nodes)] for _ in range(batch)]
    target = [[rng.randrange(vocabulary) for _ in range(nodes)] for _ in range(batch)]
    width = steps + 1
    predicts = torch.zeros(batch * nodes, dtype=torch.int32)
    accept_index = torch.full((batch, width), -1, dtype=torch.int32)
    accept_count = torch.empty(batch, dtype=torch.int32)

    tree.verify_tree_greedy_cpu(
        predicts=predicts,
        accept_index=accept_index,
        accept_token_num=accept_count,
        candidates=torch.tensor(tokens),
        retrive_index=index,
        retrive_next_token=child,
        retrive_next_sibling=sibling,
        target_predict=torch.tensor(target),
    )

    expected_predicts = [0] * (batch * nodes)
    for b, pick in enumerate(picks):
        path = [0]
        while True:
            here = path[-1]
            expected_predicts[b * nodes + here] = target[b][here]
            matches = [
                n
                for n in range(nodes)
                if pick.parents[n] == here and tokens[b][n] == target[b][here]
            ]
            if not matches:
                break
            path.append(matches[0])
        assert accept_count[b] == len(path) - 1
        flat = [b * nodes + node for node in path]
        assert accept_index[b].tolist() == flat + [-1] * (width - len(flat))
    assert predicts.tolist() == expected_predicts


@settings(max_examples=40)
@given(shapes, st.integers(0, 10**6), st.integers(1, 4))
def test_links_are_recovered_from_the_mask(
    shape: tuple[int, int, int], seed: int, batch: int
) -> None:
    topk, steps, nodes = shape
    rng = random.Random(seed)
    picks = [Picks(rng, topk, steps, nodes) for _ in range(batch)]
    nodes = len(picks[0].parents)
    seq_lens = [rng.randint(1, 20) for _ in range(batch)]
    mask, *expected = build(picks, seq_lens, topk, steps, tree.QLEN_ONLY)
    actual = [torch.empty_like(tensor) for tensor in expected]

    tree.reconstruct_indices_from_tree_mask(
        mask, torch.tensor(seq_lens), actual[0], actual[1], actual[2], actual[3], batch, nodes
    )

    for recovered, built in zip(actual, expected, strict=True):
        assert recovered.tolist() == built.tolist()

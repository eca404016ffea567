"""Among how many ranks a model can be divided: what SGLang refuses while it loads. Pure.

Files named as a source are those of the verified SGLang: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from launcher.memory.shape import ModelShape

_LINEAR: Final = "layers/linear.py, divide"
_BLOCKS: Final = "layers/quantization/fp8.py, validate_block_quant_shapes"
_EXPERT_BLOCKS: Final = "layers/quantization/fp8.py, Fp8MoEMethod"
_EXPERTS: Final = "layers/moe/fused_moe_triton/layer.py"


@dataclass(frozen=True, slots=True)
class Division:
    """How many ranks share each part: `--tp-size`, less what other flags take out of it.

    Attributes:
        ranks: all, which share what is not named here.
        attention_groups: `--dp-size` under `--enable-dp-attention`: each group has all heads.
        expert_groups: `--ep-size`: each group has whole experts.
    """

    ranks: int
    attention_groups: int = 1
    expert_groups: int = 1

    @property
    def attention_ranks(self) -> int:
        """Those that share one layer's heads."""
        return max(1, self.ranks // self.attention_groups)

    @property
    def expert_ranks(self) -> int:
        """Those that share one expert."""
        return max(1, self.ranks // self.expert_groups)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why SGLang refuses a division: what is wrong, and where it says so."""

    problem: str
    source: str
    is_of_experts: bool = False


def find_conflicts(shape: ModelShape, division: Division) -> tuple[Conflict, ...]:
    """All reasons for which SGLang would refuse to divide the model so; none: it would not."""
    return (
        *_head_conflicts(shape, division.attention_ranks),
        *_width_conflicts(shape, division),
        *(_block_conflicts(shape, division) if shape.weight_block_size else ()),
    )


def propose_division(shape: ModelShape, division: Division) -> Division | None:
    """The nearest division that SGLang takes.

    Whole experts for each group of ranks where that is enough, else the most ranks below, else the
    fewest above, up to twice as many; None where there is none.
    """
    conflicts = find_conflicts(shape, division)
    if all(conflict.is_of_experts for conflict in conflicts) and division.ranks <= shape.experts:
        whole = replace(division, expert_groups=division.ranks)
        if not shape.experts % division.ranks and not find_conflicts(shape, whole):
            return whole
    return smaller_division(shape, division) or _larger_division(shape, division)


def smaller_division(shape: ModelShape, division: Division) -> Division | None:
    """The most ranks below these among which SGLang would divide the model; None: not even one."""
    return _first_that_fits(shape, range(division.ranks - 1, 0, -1))


def _larger_division(shape: ModelShape, division: Division) -> Division | None:
    return _first_that_fits(shape, range(division.ranks + 1, 2 * division.ranks + 1))


def _first_that_fits(shape: ModelShape, ranks: range) -> Division | None:
    return next(
        (Division(count) for count in ranks if not find_conflicts(shape, Division(count))), None
    )


def _head_conflicts(shape: ModelShape, ranks: int) -> Iterator[Conflict]:
    """Source: the attention of each file in models/; QKVParallelLinear in layers/linear.py."""
    if shape.heads % ranks:
        yield Conflict(
            f"its {shape.heads} attention heads cannot be divided among {ranks} ranks",
            "models/: assert total_num_heads % attn_tp_size == 0",
        )
    kv_heads = shape.kv_heads
    if kv_heads >= ranks and kv_heads % ranks:
        yield Conflict(
            f"its {kv_heads} KV heads cannot be divided among {ranks} ranks",
            "models/: assert total_num_kv_heads % attn_tp_size == 0",
        )
    elif kv_heads < ranks and ranks % kv_heads:
        yield Conflict(
            f"{ranks} ranks cannot share {kv_heads} KV heads evenly",
            "models/: assert attn_tp_size % total_num_kv_heads == 0",
        )


def _width_conflicts(shape: ModelShape, division: Division) -> Iterator[Conflict]:
    ranks = division.ranks
    # Under data parallel attention each family divides its MLPs in its own way.
    if division.attention_groups == 1:
        for label, width in _mlp_widths(shape, division):
            if width % ranks:
                problem = f"{label}, {width} wide, cannot be divided among {ranks} ranks"
                yield Conflict(problem, _LINEAR)
    if not shape.experts:
        return
    if ranks > shape.experts and shape.architecture != "MixtralForCausalLM":
        yield Conflict(
            f"it has {shape.experts} experts, fewer than {ranks} ranks",
            "models/: Tensor parallel size is greater than the number of experts",
        )
    shared = division.expert_ranks
    if shape.expert_width % shared:
        yield Conflict(
            f"its experts, {shape.expert_width} wide, cannot be divided among {shared} ranks",
            f"{_EXPERTS}: assert intermediate_size % moe_tp_size == 0",
            is_of_experts=True,
        )


def _block_conflicts(shape: ModelShape, division: Division) -> Iterator[Conflict]:
    """Widths of a rank that are no multiple of the block in which FP8 scales are kept.

    Rows are checked in layers that are divided by rows or merged of several, columns in those that
    are divided by columns. What is left in 16 bits has no blocks.
    """
    block = shape.weight_block_size or (1, 1)
    ranks = division.ranks
    if "attention" not in shape.wide_parts:
        yield from _attention_block_conflicts(shape, division.attention_ranks, block)
    if "dense" not in shape.wide_parts and division.attention_groups == 1:
        for label, width in _mlp_widths(shape, division):
            if not width % ranks:
                yield from _blocks(label, width, ranks, block, _BLOCKS)
    if shape.experts and "experts" not in shape.wide_parts:
        shared = division.expert_ranks
        if not shape.expert_width % shared:
            for conflict in _blocks("an expert", shape.expert_width, shared, block, _EXPERT_BLOCKS):
                yield replace(conflict, is_of_experts=True)


def _attention_block_conflicts(
    shape: ModelShape, ranks: int, block: tuple[int, int]
) -> Iterator[Conflict]:
    if shape.heads % ranks:
        return
    rows, columns = block
    heads = shape.heads // ranks
    latent = shape.latent
    if latent is None:
        kv_heads = max(1, shape.kv_heads // ranks)
        by_rows = {
            "queries": heads * shape.head_dim,
            "keys and values": kv_heads * shape.head_dim,
        }
        by_columns = heads * shape.head_dim
    else:
        by_rows = {
            "queries": heads * latent.query_dim,
            "keys and values": heads * (latent.plain_dim + latent.value_dim),
        }
        by_columns = heads * latent.value_dim
        if ranks == 1:
            return
    for label, width in by_rows.items():
        if width % rows:
            problem = f"{width} outputs of {label} a rank are no multiple of {rows}"
            yield Conflict(problem, _BLOCKS)
    if ranks > 1 and by_columns % columns:
        problem = f"{by_columns} inputs of the attention's output a rank are no multiple of"
        yield Conflict(f"{problem} {columns}", _BLOCKS)


def _blocks(
    label: str, width: int, ranks: int, block: tuple[int, int], source: str
) -> Iterator[Conflict]:
    """Gate and up are divided by rows and merged; down is divided by columns, if at all."""
    rows, columns = block
    share = width // ranks
    of_block = rows if share % rows else columns
    if share % rows or (ranks > 1 and share % columns):
        shown = f"{width:d}/{ranks:d}={share:d}" if ranks > 1 else f"{width:d}"
        problem = f"the width of {label}, {shown}, is no multiple of {of_block}, a block of its FP8"
        yield Conflict(problem, source)


def _mlp_widths(shape: ModelShape, division: Division) -> Iterator[tuple[str, int]]:
    if shape.dense_layers:
        yield "a dense MLP", shape.dense_width
    # With whole experts a rank, a shared one may be one of them: it is left to SGLang.
    if shape.shared_width and division.expert_groups == 1:
        yield "the shared expert", shape.shared_width

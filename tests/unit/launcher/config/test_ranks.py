"""The number of ranks, and the GPUs that they are on: as SGLang counts them."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.config.gpus import chosen_gpus, needs_known, used_gpus
from launcher.config.presets import GLM_AIR_FP8
from launcher.config.ranks import Ranks, check_ranks_on_cpu, engine_options, ranks_of
from launcher.config.server_config import ServerConfig
from launcher.errors import ConfigError
from launcher.system.hardware import GIB, Gpu, Hardware
from tests.unit.launcher.examples import make_config

GPUS = tuple(
    Gpu(index, f"GPU-{index}", "NVIDIA H100 80GB HBM3", 80 * GIB, (79 - index) * GIB, (9, 0))
    for index in range(8)
)


@pytest.mark.parametrize(
    ("fields", "count", "ids"),
    [
        ({"tp_size": 2}, 2, (0, 1)),
        ({"tp_size": 2, "pp_size": 2}, 4, (0, 1, 2, 3)),
        ({"tp_size": 2, "dp_size": 2}, 4, (0, 1, 2, 3)),
        ({"tp_size": 2, "pp_size": 2, "dp_size": 2}, 8, tuple(range(8))),
        ({"tp_size": 4, "dp_size": 2, "enable_dp_attention": True}, 4, (0, 1, 2, 3)),
        ({"tp_size": 4, "extra_args": ("--attn-dp-size", "4")}, 4, (0, 1, 2, 3)),
        ({"tp_size": 2, "extra_args": ("--data-parallel-size=2",)}, 4, (0, 1, 2, 3)),
        ({"tp_size": 2, "extra_args": ("--base-gpu-id", "4")}, 2, (4, 5)),
        ({"tp_size": 2, "extra_args": ("--gpu-id-step=2",)}, 2, (0, 2)),
        ({"tp_size": 2, "dp_size": 2, "extra_args": ("--gpu-id-step", "2")}, 4, (0, 2, 4, 6)),
        # SGLang adds stages without the step.
        ({"tp_size": 2, "pp_size": 2, "extra_args": ("--gpu-id-step", "2")}, 4, (0, 2, 2, 4)),
        ({"tp_size": 2, "extra_args": ("--base-gpu-id", "-1", "--gpu-id-step", "0")}, 2, (0, 1)),
        ({"tp_size": 4, "nnodes": 2}, 4, (0, 1)),
        ({"tp_size": 4, "nnodes": 2, "node_rank": 1}, 4, (0, 1)),
        ({"tp_size": 4, "nnodes": 2, "extra_args": ("--base-gpu-id", "4")}, 4, (4, 5)),
        ({"tp_size": 2, "pp_size": 2, "nnodes": 2, "node_rank": 1}, 4, (0, 1)),
        ({"tp_size": 4, "pp_size": 2, "nnodes": 4, "node_rank": 3}, 8, (0, 1)),
        ({"tp_size": 1, "pp_size": 4, "nnodes": 2}, 4, (0, 1)),
        ({"extra_args": ("--dp-size",)}, 1, (0,)),
        ({"extra_args": ("--ep-size", "9" * 5000)}, 1, (0,)),
    ],
)
def test_each_rank_has_the_gpu_that_sglang_gives_it(
    fields: dict[str, Any], count: int, ids: tuple[int, ...]
) -> None:
    config = make_config(**fields)

    assert ranks_of(config).count == count
    assert ranks_of(config).gpu_ids == ids


@pytest.mark.parametrize(
    ("fields", "here", "first", "children"),
    [
        ({"tp_size": 4}, 4, 0, 5),
        ({"tp_size": 4, "nnodes": 2}, 2, 0, 3),
        # The others have no detokenizer.
        ({"tp_size": 4, "nnodes": 2, "node_rank": 1}, 2, 2, 2),
        ({"tp_size": 4, "pp_size": 2, "nnodes": 2, "node_rank": 1}, 4, 0, 4),
        ({"tp_size": 4, "pp_size": 2, "nnodes": 4, "node_rank": 3}, 2, 2, 2),
    ],
)
def test_each_machine_has_its_part_of_the_ranks(
    fields: dict[str, Any], here: int, first: int, children: int
) -> None:
    ranks = ranks_of(make_config(**fields))
    assert (ranks.count_here, ranks.first_tensor_here, ranks.children) == (here, first, children)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"node_rank": 1}, "node_rank 1 is none of nnodes 1"),
        ({"nnodes": 2, "node_rank": 2, "tp_size": 2}, "node_rank 2 is none of nnodes 2"),
        ({"nnodes": 2, "tp_size": 3}, "do not divide"),
        ({"nnodes": 4, "tp_size": 4, "pp_size": 3}, "do not divide"),
        ({"nnodes": 2, "tp_size": 2, "dp_size": 2}, "whole copies"),
    ],
)
def test_ranks_that_do_not_divide_among_machines_are_refused(
    fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        make_config(**fields)


def test_attention_groups_go_over_machines() -> None:
    config = make_config(tp_size=4, nnodes=2, dp_size=4, enable_dp_attention=True)
    assert ranks_of(config).count_here == 2


def test_the_words_name_the_sizes_that_are_not_one() -> None:
    assert Ranks(2).describe() == "Tensor parallel size 2"
    assert Ranks(2, 2, 3, first_gpu=4).describe() == (
        "Tensor parallel size 2 x pipeline parallel size 2 x data parallel size 3 with "
        "--base-gpu-id 4"
    )


@pytest.mark.parametrize(
    ("ranks", "children"),
    [
        # Schedulers and detokenizer; with groups the controller, which starts copies itself.
        (Ranks(2), 3),
        (Ranks(2, pipeline=2), 5),
        (Ranks(4, attention_groups=2), 6),
        (Ranks(2, replicas=2), 2),
    ],
)
def test_the_first_process_has_so_many_children(ranks: Ranks, children: int) -> None:
    assert ranks.children == children


def test_options_of_fields_and_behind_the_dashes_are_read_alike() -> None:
    config = make_config(
        pp_size=2, trust_remote_code=True, extra_args=("--ep", "4", "--log-level", "debug")
    )

    assert engine_options(config) == (
        ("--pp-size", "2"),
        ("--trust-remote-code", ""),
        ("--ep-size", "4"),
        ("--log-level", "debug"),
    )


def test_the_gpus_that_are_measured_are_those_of_the_ranks() -> None:
    config = make_config(tp_size=2, extra_args=("--base-gpu-id", "2", "--gpu-id-step", "3"))

    assert [gpu.index for gpu in used_gpus(config, GPUS)] == [2, 5]
    assert [gpu.index for gpu in used_gpus(config, GPUS[:3])] == [2]


@pytest.mark.parametrize(
    "fields",
    [
        *({"dp_size": 2}, {"pp_size": 2}, {"tp_size": 1, "dp_size": 2}),
        {"extra_args": ("--base-gpu-id", "2")},
        {"dp_size": 2, "enable_dp_attention": True},
    ],
)
def test_a_preset_s_figures_hold_only_where_its_ranks_do(fields: dict[str, Any]) -> None:
    hardware = Hardware(GPUS, "all", (0, 1), 64 * GIB)
    own = ServerConfig.model_validate({**GLM_AIR_FP8.fields, "preset": GLM_AIR_FP8.name})
    other = ServerConfig.model_validate({**own.model_dump(mode="json"), **fields})

    assert needs_known(own, GLM_AIR_FP8)
    assert len(chosen_gpus(own, hardware)) == 2
    assert not needs_known(other, GLM_AIR_FP8)
    assert chosen_gpus(other, hardware) == ()


@pytest.mark.parametrize(
    "fields",
    [{"dp_size": 2}, {"pp_size": 2}, {"tp_size": 2, "dp_size": 2, "enable_dp_attention": True}],
)
def test_a_cpu_has_tensor_parallel_ranks_only(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="tensor parallel ranks only"):
        check_ranks_on_cpu(make_config(device="cpu", **fields))
    check_ranks_on_cpu(make_config(device="cuda", **fields))


def test_a_cpu_takes_sizes_of_one() -> None:
    check_ranks_on_cpu(make_config(device="cpu", tp_size=2, dp_size=1, pp_size=1))

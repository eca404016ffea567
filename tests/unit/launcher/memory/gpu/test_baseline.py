"""Which range stands for which cards."""

from __future__ import annotations

import pytest

from launcher.memory.gpu import baseline
from launcher.memory.gpu.baseline import Spread, joined_by_nvlink, taken_on_gpu
from launcher.memory.gpu.models import GPU_MODELS


@pytest.mark.parametrize(
    ("name", "nvlink"),
    [
        ("NVIDIA H100 80GB HBM3", True),
        ("NVIDIA H100 PCIe", False),
        ("NVIDIA H100 NVL", True),
        ("NVIDIA A100-SXM4-80GB", True),
        ("NVIDIA A100 80GB PCIe", False),
        ("NVIDIA A100-PCIE-40GB", False),
        ("Tesla V100-SXM2-32GB", True),
        ("NVIDIA H200", True),
        ("NVIDIA B200", True),
        ("NVIDIA GB200", True),
        ("NVIDIA GH200 480GB", True),
        ("NVIDIA H20", True),
        ("NVIDIA L4", False),
        ("NVIDIA L40S", False),
        ("NVIDIA L20", False),
        ("NVIDIA A10", False),
        ("NVIDIA A10G", False),
        ("NVIDIA RTX A6000", False),
        ("NVIDIA GeForce RTX 4090", False),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", False),
    ],
)
def test_a_card_s_name_tells_whether_nvlink_joins_it(name: str, nvlink: object) -> None:
    assert joined_by_nvlink(name) is nvlink


def test_the_launcher_s_own_names_are_told_apart_too() -> None:
    joined = {name for name in GPU_MODELS if joined_by_nvlink(name)}

    assert joined == {
        "A100-40GB", "A100-80GB", "H100-80GB", "H100-NVL", "H20", "GH200", "H200", "B200",
    }  # fmt: skip


def test_the_driver_is_believed_before_the_name() -> None:
    def taken(name: str, *, nvlink: bool | None) -> Spread:
        return taken_on_gpu(name, (9, 0), 2, nvlink=nvlink)

    assert taken("NVIDIA H100 PCIe", nvlink=True) == baseline.RANKS_ON_NVLINK
    assert taken("NVIDIA H100 80GB HBM3", nvlink=False) == baseline.RANKS_ON_PCIE
    assert taken("NVIDIA H100 80GB HBM3", nvlink=None) == baseline.RANKS_ON_NVLINK


def test_one_rank_has_no_communicators() -> None:
    def usual(ranks: int) -> int:
        return taken_on_gpu("NVIDIA H200", (9, 0), ranks, nvlink=True).usual_bytes

    assert usual(1) < usual(2)


def test_what_is_counted_elsewhere_is_left_out_but_nothing_falls_below_zero() -> None:
    assert Spread(1, 5, 9).less(3) == Spread(0, 2, 6)

"""GPUs by name."""

from __future__ import annotations

import pytest

from launcher.errors import InvalidValueError
from launcher.memory.gpu.models import BANDWIDTHS_GB_PER_S, GPU_MODELS, parse_machine
from launcher.system.hardware import MIB


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [
        ("2xH100-80GB", 2, "H100-80GB"),
        ("2 x h100", 2, "H100-80GB"),
        ("H200", 1, "H200"),
        ("8*b200", 8, "B200"),
        ("1xRTX 6000 Ada", 1, "RTX6000-Ada"),
        (" 4XL40S ", 4, "L40S"),
    ],
)
def test_a_machine_is_a_count_and_a_name(text: str, count: int, name: str) -> None:
    gpus = parse_machine(text)

    assert [gpu.name for gpu in gpus] == [name] * count
    assert {gpu.free_bytes for gpu in gpus} == {GPU_MODELS[name].total_bytes}
    assert len({gpu.uuid for gpu in gpus}) == count


@pytest.mark.parametrize("text", ["", "2x", "0xH100", "65xH100", "2xH1000", "-1xH100", "2xH100x2"])
def test_another_text_is_refused_with_the_names_that_are_known(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_machine(text)

    assert repr(text) in caught.value.problem
    assert "H100-80GB" in caught.value.action


def test_the_table_s_figures_are_possible() -> None:
    for name, model in GPU_MODELS.items():
        assert model.name == name
        assert 20_000 * MIB < model.total_bytes < 300_000 * MIB
        assert (8, 0) <= model.compute_capability <= (12, 1)


def test_every_gpu_has_a_bandwidth_that_a_planned_one_gets() -> None:
    assert set(BANDWIDTHS_GB_PER_S) == set(GPU_MODELS)
    assert {gpu.bandwidth_bytes_per_s for gpu in parse_machine("2xh100")} == {3_350 * 10**9}
    for name, capability in ((name, gpu.compute_capability) for name, gpu in GPU_MODELS.items()):
        assert 300 <= BANDWIDTHS_GB_PER_S[name] <= 8_000
        # Only Blackwell and Hopper have more than the A100's HBM2e.
        assert (BANDWIDTHS_GB_PER_S[name] > 2_039) <= (capability >= (9, 0))

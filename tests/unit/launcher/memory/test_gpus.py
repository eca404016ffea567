"""GPUs by name."""

from __future__ import annotations

import pytest

from launcher.errors import InvalidValueError
from launcher.memory.gpus import GPU_MODELS, parse_machine
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

"""The size of the rotary table as a config.json says it."""

from __future__ import annotations

import pytest

from launcher.memory.shapes.rotary import rotary_factor, yarn_positions


def test_yarn_counts_from_the_positions_before_it() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}

    assert yarn_positions({"rope_scaling": yarn}, max_positions=40_960) == 131_072
    assert yarn_positions({"rope_parameters": yarn}, max_positions=40_960) == 131_072
    without = {"type": "deepseek_yarn", "factor": 4}
    assert yarn_positions({"rope_scaling": without}, max_positions=40_960) == 163_840


@pytest.mark.parametrize(
    "scaling",
    [
        None,
        "yarn",
        {"rope_type": "llama3", "factor": 8.0},
        {"rope_type": ["yarn"], "factor": 8.0},
        {"type": "yarn"},
        {"type": "yarn", "factor": "many"},
        {"type": "yarn", "factor": 1e300},
        {"factor": 4},
    ],
)
def test_without_yarn_and_its_factor_there_is_no_such_table(scaling: object) -> None:
    assert yarn_positions({"rope_scaling": scaling}, max_positions=4_096) is None


@pytest.mark.parametrize(
    ("content", "factor"),
    [
        ({}, 0.5),
        ({"partial_rotary_factor": 0.25}, 0.25),
        ({"rope_parameters": {"partial_rotary_factor": 1}}, 1.0),
        ({"partial_rotary_factor": None}, 0.5),
        ({"partial_rotary_factor": "half"}, 0.5),
        ({"partial_rotary_factor": 0}, 0.5),
    ],
)
def test_the_part_of_a_head_that_is_rotated(content: dict[str, object], factor: float) -> None:
    assert rotary_factor(content, default=0.5) == factor

"""Draft steps that SGLang changes: what it takes, and what it would only warn about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launcher.config.server_config import ServerConfig, describe_speculation
from launcher.engines.launch import Command, CommandTarget
from launcher.engines.select import default_engine
from launcher.engines.sglang.command import build_command
from launcher.errors import InvalidValueError
from tests.unit.launcher.examples import make_config

EAGLE = {
    "speculative_algorithm": "EAGLE",
    "speculative_num_steps": 3,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 4,
    "speculative_adaptive": True,
}


def build(config: ServerConfig) -> Command:
    return build_command(config, CommandTarget(python="python", cpus=(0, 1)))


def check(config: ServerConfig) -> None:
    engine = default_engine()
    engine.check_command(build(config), config, engine.verified_version)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"speculative_eagle_topk": 4, "speculative_num_draft_tokens": 8}, "topk 1, and here"),
        ({"speculative_algorithm": "NGRAM"}, "for EAGLE and EAGLE3, and here it is NGRAM"),
        ({"enable_dp_attention": True, "tp_size": 2, "dp_size": 2}, "enable_dp_attention"),
        ({"speculative_adaptive": False, "speculative_adaptive_config": "/f"}, "needs spec"),
    ],
)
def test_what_sglang_would_leave_static_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_config(**{**EAGLE, **fields})


def test_the_steps_are_adaptive_in_words_and_flags() -> None:
    config = make_config(device="cpu", **EAGLE)
    assert describe_speculation(config) == "EAGLE 3/1/4, adaptive"
    words = build(config).server_arguments
    assert "--speculative-adaptive" in words
    # Without it SGLang makes CUDA graphs on the CPU.
    assert "--disable-cuda-graph" in words
    assert "--disable-cuda-graph" not in build(make_config(device="cuda", **EAGLE)).argv
    check(config)


def test_plain_decoding_has_no_steps_to_change() -> None:
    config = make_config(**{**EAGLE, "speculative_algorithm": None})
    assert not any("speculative" in word for word in build(config).argv)
    check(config)


TIERS = {"1": {"candidate_steps": [1, 3, 5]}, "8": {"candidate_steps": [0, 1]}, "ema_alpha": 0.1}


def test_a_file_that_sglang_reads_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "tiers.json"
    file.write_text(json.dumps(TIERS))
    config = make_config(**EAGLE, speculative_adaptive_config=str(file))
    assert str(file) in build(config).argv
    check(config)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "names no number of requests"),
        ("{}", "names no number of requests"),
        ('{"ema_alpha": 1}', "names no number of requests"),
        ('{"1": {}}', "no list of whole numbers as candidate_steps for 1 requests"),
        ('{"1": []}', "no list of whole numbers"),
        ('{"1": {"candidate_steps": []}}', "no list of whole numbers"),
        ('{"1": {"candidate_steps": [1.5]}}', "no list of whole numbers"),
        ('{"1": {"candidate_steps": [-1]}}', "no list of whole numbers"),
        ('{"1": {"candidate_steps": [true]}}', "no list of whole numbers"),
        ('{"1": {"candidate_steps": [9999999]}}', "no list of whole numbers"),
        ('{"1": {"candidate_steps": [1, 5]}}', r"is 3, and .* has the steps \[1, 5\]"),
    ],
)
def test_a_file_that_sglang_would_fail_on_is_refused(
    tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "tiers.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidValueError, match=told):
        check(make_config(**EAGLE, speculative_adaptive_config=str(file)))

"""What has to be the same on all machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.nodes.facts import NodeFacts, common_arguments, differences, model_digest

LEADER = NodeFacts(
    rank=0,
    nodes=2,
    versions={"sglang": "0.5.23", "torch": "2.11.0"},
    model="commit abc",
    arguments=(("--tp-size", "2"), ("--sleep-on-idle", "")),
)


def follower(**fields: object) -> NodeFacts:
    return LEADER.model_copy(update={"rank": 1, **fields})


def test_machines_that_agree_differ_in_nothing() -> None:
    assert differences(LEADER, follower()) == ()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"nodes": 3}, "nnodes is 2 on machine 0 and 3 on machine 1"),
        ({"rank": 0}, "a machine has node_rank 0, and the numbers are 1 to 1"),
        ({"rank": 2}, "a machine has node_rank 2, and the numbers are 1 to 1"),
        ({"model": "commit abd"}, "the model is commit abc on machine 0 and commit abd on"),
        ({"draft": "folder 1"}, "the draft model is none on machine 0 and folder 1 on machine 1"),
        ({"files": {"f": "file 1"}}, "f is not set on machine 0 and file 1 on machine 1"),
        ({"versions": {"sglang": "0.5.22", "torch": "2.11.0"}},
         "sglang is 0.5.23 on machine 0 and 0.5.22 on machine 1"),
        ({"versions": {"sglang": "0.5.23"}},
         "torch is 2.11.0 on machine 0 and not set on machine 1"),
        ({"arguments": (("--tp-size", "4"), ("--sleep-on-idle", ""))},
         "--tp-size is 2 on machine 0 and 4 on machine 1"),
        ({"arguments": (("--tp-size", "2"),)},
         "--sleep-on-idle is set on machine 0 and not set on machine 1"),
    ],
)  # fmt: skip
def test_each_difference_is_told(fields: dict[str, object], told: str) -> None:
    found = differences(LEADER, follower(**fields))
    assert len(found) == 1
    assert told in found[0]


def test_what_each_machine_has_by_itself_is_not_compared() -> None:
    one = ("--model-path", "/a", "--host", "10.0.0.1", "--port", "1", "--node-rank", "0",
           "--tp-size", "2", "--config", "/s/0")  # fmt: skip
    other = ("--tp-size=2", "--model-path", "/b", "--host", "10.0.0.2", "--port", "2",
             "--node-rank", "1", "--config", "/s/1")  # fmt: skip
    assert common_arguments(one) == common_arguments(other) == (("--tp-size", "2"),)


def test_a_model_is_told_by_what_decides_its_shapes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(10))
    first = model_digest(None, tmp_path)
    assert first == model_digest(None, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(11))
    second = model_digest(None, tmp_path)
    (tmp_path / "config.json").write_text("{ }")
    assert len({first, second, model_digest(None, tmp_path)}) == 3
    assert model_digest("abc", tmp_path) == "commit abc"

"""Variables that may break a server are named; what the launcher sets itself is not."""

from __future__ import annotations

from launcher.diagnosis.suspects import MOST_NAMED, describe_suspects, suspects


def test_what_reaches_the_engine_is_suspected_and_nothing_else() -> None:
    environment = dict.fromkeys(
        ("SGLANG_X", "LD_PRELOAD", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "HOME", "LANG"), "value"
    )
    own = {"CUDA_VISIBLE_DEVICES": "GPU-1"}
    assert suspects(environment, own) == ("LD_PRELOAD", "PYTHONPATH", "SGLANG_X")


def test_a_name_that_is_none_is_not_printed() -> None:
    assert suspects({"SGLANG_\x1b[2J": "1", "LD_\n": "1"}, {}) == ()


def test_many_are_counted() -> None:
    names = tuple(f"SGLANG_{number}" for number in range(MOST_NAMED + 3))
    assert describe_suspects(names).endswith("and 3 more: try it without.")
    assert describe_suspects(()) == ""

"""Command lines of SGLang as people have them, of this version and of others."""

from __future__ import annotations

import pytest

from launcher.config.arguments.foreign_launch import ForeignLaunch
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.takeover import foreign_launch
from launcher.engines.sglang.version import VERIFIED_VERSION


def read(*arguments: str) -> ForeignLaunch:
    return foreign_launch.read_launch(list(arguments), load_flag_table(VERIFIED_VERSION))


def test_the_defaults_are_sglangs() -> None:
    assert read("--model", "org/Model").fields == {
        "model_path": "org/Model", "served_model_name": "org/Model", "port": 30000,
        "device": "cuda",
    }  # fmt: skip


def test_the_last_of_two_values_counts_and_is_told() -> None:
    made = read("--model", "m", "--tp", "2", "--tp-size", "4")
    assert made.fields["tp_size"] == "4"
    assert "--tp-size: given twice; the last one counts" in made.dropped


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cuda-graph-max-bs", "8"), "--cuda-graph-max-bs-decode"),
        (("--enable-ep-moe",), "--ep-size today"),
        (("--no-such-thing", "x"), "it does nothing there"),
        (("--api-key", "hidden"), "api_key_file"),
        (("--ssl-keyfile-password", "hidden"), "a secret, not written; no field"),
        (("--ssl-certfile", "c"), "a proxy before the server"),
        (("--delete-ckpt-after-loading",), "removes the model's files"),
        (("--tokenizer-worker-num", "4"), "checks no API key"),
        (("free", "second"), "behind no option"),
    ],
)
def test_what_is_not_taken_over_is_named(arguments: tuple[str, ...], told: str) -> None:
    made = read(*arguments, "--model", "m")
    assert any(told in line for line in made.dropped), made.dropped
    assert made.extra == []
    assert "hidden" not in "".join(made.dropped + made.taken)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--use-ray",), ("--encoder-only",), ("--disaggregation-mode", "decode"),
        ("--config", "f.yaml"), ("--is-embedding",), ("--grpc-mode",),
    ],
)  # fmt: skip
def test_what_cannot_be_watched_is_refused(arguments: tuple[str, ...]) -> None:
    assert arguments[0] in read("--model", "m", *arguments).refused

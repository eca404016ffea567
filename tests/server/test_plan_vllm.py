"""The plan against vLLM's own count of tokens, in four settings."""

from __future__ import annotations

import re

import pytest

from launcher.engines.common.environments import environment_of
from launcher.engines.vllm.version import FOR_CPU, VERIFIED_VERSION
from tests.server.conftest import server

pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(
        not environment_of(FOR_CPU, VERIFIED_VERSION).is_whole,
        reason="vLLM for CPUs is not installed: `python -m launcher engine install vllm`",
    ),
]
TOLERANCE = 0.02
_COUNT = re.compile(r"CPU KV cache size: ([\d,]+) tokens")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), id="three-drafts"),
        pytest.param(("--no-speculation",), id="plain"),
        pytest.param(("--dtype", "bfloat16"), id="bfloat16"),
        pytest.param(
            ("--context-length", "4096", "--environment", "VLLM_CPU_KVCACHE_SPACE=2"),
            id="space-and-context",
        ),
    ],
)
def test_the_server_has_as_many_tokens_as_planned(settings: tuple[str, ...]) -> None:
    with server("planned", "--preset", "nano-vllm", *settings) as record:
        planned = record.memory.planned
        said = _COUNT.search(record.log_file.read_text(errors="replace"))

    assert planned is not None
    assert said is not None
    counted = int(said[1].replace(",", ""))
    assert counted == pytest.approx(planned.kv_cache_tokens, rel=TOLERANCE)

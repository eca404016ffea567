"""Small models of other families than the embedded one's, served as they are."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from launcher.serving import free_port
from launcher.state.store import RunStore
from tests.server.conftest import record_of, run_cli
from tests.tiny_models import write_model

pytestmark = pytest.mark.costly


# A window, a head of another width than the hidden size gives it, a layer without experts.
@pytest.mark.parametrize("name", ["mistral", "qwen3-moe"])
def test_a_model_of_another_family_is_planned_and_served(name: str, tmp_path: Path) -> None:
    folder = write_model(name, tmp_path / name)
    arguments = ("--model-path", str(folder), "--device", "cpu", "--name", name)
    try:
        code = run_cli(
            *("up", "--detach", *arguments, "--port", str(free_port())),
            *("--max-total-tokens", "2048", "--restart", "never"),
        )
        assert code == 0, RunStore(name).log_file.read_text()[-3000:]
        record = record_of(name)
        memory = record.memory
        assert memory.planned is not None
        assert memory.reported is not None
        assert memory.planned.kv_cache_tokens == memory.reported.kv_cache_tokens == 2048
        # SGLang rounds to 0.001 GiB.
        assert memory.reported.kv_cache_bytes == pytest.approx(
            memory.planned.kv_cache_bytes, abs=2**30 / 1000
        )
        answer = httpx.post(
            f"{record.base_url}/v1/completions",
            json={"model": name, "prompt": "Hello", "max_tokens": 8, "ignore_eos": True},
            timeout=60,
        ).raise_for_status()
        assert answer.json()["usage"]["completion_tokens"] == 8
    finally:
        assert run_cli("down", "--name", name) == 0

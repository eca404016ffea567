"""What SGLang cannot run, as the launcher is told before a start."""

from __future__ import annotations

from typing import Any

import pytest

from launcher.engines.sglang.engine import SGLANG
from launcher.serving import configure

ON_CPU = configure({"model_path": "OWNER/NAME", "device": "cpu"})
ON_GPU = configure({"model_path": "OWNER/NAME", "device": "cuda"})
LATENT = {"architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 512, "moe_layer_freq": 1}
GEMMA2 = {"architectures": ["Gemma2ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh"}


def test_latent_attention_needs_a_gpu_or_sglang_s_own_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = "launcher.engines.sglang.engine.cpu_settings.upstream_kernels_installed"
    monkeypatch.setattr(settings, lambda: False)
    assert "MLA" in (SGLANG.refuse_model(ON_CPU, LATENT) or "")
    assert SGLANG.refuse_model(ON_GPU, LATENT) is None

    monkeypatch.setattr(settings, lambda: True)
    assert SGLANG.refuse_model(ON_CPU, LATENT) is None


@pytest.mark.parametrize(
    ("content", "field"),
    [(GEMMA2, "hidden_act"), (LATENT | {"moe_layer_freq": None}, "moe_layer_freq")],
)
def test_a_field_that_sglang_reads_is_missed_on_every_device(
    content: dict[str, Any], field: str
) -> None:
    for config in (ON_CPU, ON_GPU):
        assert field in (SGLANG.refuse_model(config, content) or "")
    assert SGLANG.refuse_model(ON_GPU, content | {field: 1}) is None


@pytest.mark.parametrize(
    "content", [{}, {"architectures": None}, {"architectures": [[]]}, {"architectures": "Llama"}]
)
def test_a_config_that_names_no_architecture_is_no_reason_to_refuse(
    content: dict[str, Any],
) -> None:
    assert SGLANG.refuse_model(ON_CPU, content) is None

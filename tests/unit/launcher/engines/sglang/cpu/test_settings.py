"""Environment and arguments of a CPU server."""

import os
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from launcher.engines.sglang.plugins.cpu import settings


@pytest.mark.parametrize(
    ("cores", "tp_size", "expected"),
    [
        ([0, 1], 1, [[0, 1]]),
        ([0, 1], 2, [[0], [1]]),
        ([5, 3, 9, 7], 2, [[3, 5], [7, 9]]),
        ([0, 1, 2], 2, [[0], [1, 2]]),
        ([4], 2, [[4], [4]]),
    ],
)
def test_cores_are_dealt_out_to_ranks(
    cores: list[int], tp_size: int, expected: list[list[int]]
) -> None:
    assert settings.cores_per_rank(cores, tp_size) == expected


@pytest.mark.parametrize(("cores", "tp_size"), [([], 1), ([0], 0)])
def test_no_core_or_no_rank_is_an_error(cores: list[int], tp_size: int) -> None:
    with pytest.raises(ValueError, match="at least one core and one rank"):
        settings.cores_per_rank(cores, tp_size)


@pytest.mark.parametrize(
    ("cores", "tp_size", "expected"), [(1, 1, 1), (2, 1, 1), (2, 2, 1), (16, 1, 15), (17, 2, 8)]
)
def test_one_core_is_left_for_the_other_processes(cores: int, tp_size: int, expected: int) -> None:
    assert settings.threads_per_rank(list(range(cores)), tp_size) == expected


def test_environment_binds_one_core_list_per_rank() -> None:
    environment = settings.server_environment([0, 1, 2, 3], 2)
    assert environment["SGLANG_CPU_OMP_THREADS_BIND"] == "0,1|2,3"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["SGLANG_USE_CPU_ENGINE"] == "1"
    assert environment[settings.ENVIRONMENT_SWITCH] == "1"


def test_environment_lets_processes_share_cached_bytecode() -> None:
    # A caller's PYTHONDONTWRITEBYTECODE would triple the time of each start.
    assert settings.server_environment([0])["PYTHONDONTWRITEBYTECODE"] == ""


def test_environment_takes_a_thread_count() -> None:
    assert settings.server_environment([0, 1, 2, 3], threads=3)["OMP_NUM_THREADS"] == "3"


def test_shim_comes_first_on_the_path_and_the_callers_path_last() -> None:
    paths = settings.server_environment([0], python_path="/theirs")["PYTHONPATH"].split(os.pathsep)
    assert (Path(paths[0]) / "sgl_kernel" / "__init__.py").is_file()
    assert (Path(paths[1]) / "launcher" / "__init__.py").is_file()
    assert paths[2:] == ["/theirs"]


def test_callers_empty_path_adds_no_entry() -> None:
    # An empty entry would put the working directory on the path.
    assert "" not in settings.server_environment([0])["PYTHONPATH"].split(os.pathsep)


@pytest.mark.parametrize(
    ("text", "cores"), [("0", [0]), ("0,1", [0, 1]), ("0-3,8", [0, 1, 2, 3, 8])]
)
def test_core_lists_are_read(text: str, cores: list[int]) -> None:
    assert settings.parse_cores(text) == cores


@pytest.mark.parametrize("algorithm", ["EAGLE", "eagle", "NEXTN", "STANDALONE"])
def test_speculation_seen_to_run_is_not_refused(algorithm: str) -> None:
    assert settings.refuse_reason(algorithm) is None


def test_unknown_speculation_is_refused_in_one_sentence() -> None:
    reason = settings.refuse_reason("DFLASH")
    assert reason is not None
    assert reason.startswith("DFLASH speculation")


def test_a_standalone_draft_that_sglang_takes_for_a_nextn_layer_is_refused() -> None:
    reason = settings.refuse_reason("STANDALONE", "Glm4MoeForCausalLM")
    assert reason is not None
    assert "NextN" in reason
    assert settings.refuse_reason("STANDALONE", "LlamaForCausalLM") is None


@pytest.mark.parametrize(("tools", "missing"), [((), "c++ and ninja"), (("c++",), "lacks ninja")])
def test_ngram_needs_a_compiler(
    monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...], missing: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: tool if tool in tools else None)
    assert missing in (settings.refuse_reason("NGRAM") or "")


def test_ngram_is_not_refused_with_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    assert settings.refuse_reason("NGRAM") is None


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 512}, "MLA"),
        ({"architectures": ["Glm4MoeLiteForCausalLM"]}, "MLA"),
        ({"architectures": ["MiniCPM3ForCausalLM"], "kv_lora_rank": 256}, "MLA"),
        (
            {
                "architectures": ["Qwen2MoeForCausalLM"],
                "shared_expert_intermediate_size": 48,
            },
            "Triton",
        ),
        (
            {
                "architectures": ["LlamaForCausalLM"],
                "quantization_config": {"quant_method": "fp8"},
            },
            "FP8",
        ),
        (
            {
                "architectures": ["Glm4MoeForCausalLM"],
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "format": "float-quantized",
                },
            },
            "FP8",
        ),
    ],
)
def test_a_model_that_was_seen_to_fail_on_a_cpu_is_refused(
    content: dict[str, Any], word: str
) -> None:
    assert word in (settings.refuse_model(content["architectures"][0], content) or "")


@pytest.mark.parametrize(
    "content",
    [
        {"architectures": ["LlamaForCausalLM"]},
        {"architectures": ["Glm4MoeForCausalLM"], "kv_lora_rank": None},
        {"architectures": ["Qwen2MoeForCausalLM"], "shared_expert_intermediate_size": 0},
        {"architectures": None, "quantization_config": []},
        {},
    ],
)
def test_a_model_that_nothing_speaks_against_is_not_refused(content: dict[str, Any]) -> None:
    names = content.get("architectures") or [None]

    assert settings.refuse_model(names[0], content) is None


CUDA_FILES = ["sgl_kernel/__init__.py", "sgl_kernel/flash_ops.abi3.so"] + [
    f"sgl_kernel/sm{arch}/common_ops.abi3.so" for arch in (90, 100)
]
CPU_FILES = ["sgl_kernel/__init__.py", "sgl_kernel/common_ops.cpython-311-x86_64-linux-gnu.so"]


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("sglang-kernel", CUDA_FILES, False),
        ("sglang-kernel-cpu", CPU_FILES, True),
        ("sgl_kernel", CPU_FILES, True),
        ("unrelated", CPU_FILES, False),
    ],
)
def test_cpu_kernels_are_told_from_the_cuda_wheel(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    files: list[str],
    expected: bool,  # noqa: FBT001 -- pytest passes parameters by name
) -> None:
    info = tmp_path / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    installed = [Distribution.at(info)]
    monkeypatch.setattr(settings, "distributions", lambda: installed)
    assert settings.upstream_kernels_installed() is expected

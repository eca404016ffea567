"""What the launcher sets for a server without a GPU: environment and arguments.

Imports neither torch nor SGLang. All functions are pure, except that
``upstream_kernels_installed`` looks at the installed distributions and
``refuse_reason`` for a compiler on the path.
"""

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

from launcher.engines.sglang.version import VERIFIED_VERSION

ENVIRONMENT_SWITCH: Final = "SPECSERVE_CPU_ENGINE"

_CPU_FOLDER: Final = Path(__file__).resolve().parent
SHIM_FOLDER: Final = _CPU_FOLDER / "shim"
PACKAGE_ROOT: Final = _CPU_FOLDER.parents[4]

# Speculation seen to run with these kernels. NEXTN is SGLang's other name for EAGLE.
_RUNS_ON_CPU: Final = frozenset({"EAGLE", "NEXTN", "NGRAM", "STANDALONE"})


# Those whose attention is latent, where the config.json is not at hand.
_LATENT: Final = frozenset(
    {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "Glm4MoeLiteForCausalLM"}
)


def parse_cores(text: str) -> list[int]:
    """Read a core list such as ``0,1`` or ``0-3,8``.

    Raises:
        ValueError: If a part is not a number or a range.
    """
    cores: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.extend(range(int(first), int(last or first) + 1))
    return cores


def cores_per_rank(cores: Sequence[int], tp_size: int) -> list[list[int]]:
    """Deal the usable cores out to the tensor-parallel ranks, in runs of neighbours.

    Args:
        cores: Usable cores, as from ``os.sched_getaffinity(0)``.
        tp_size: Ranks, at least 1.

    Returns:
        One core list per rank. With fewer cores than ranks, ranks share cores.

    Raises:
        ValueError: If there is no core or no rank.
    """
    if not cores or tp_size < 1:
        raise ValueError(f"need at least one core and one rank, got {len(cores)} and {tp_size}")
    ordered = sorted(cores)
    if len(ordered) < tp_size:
        return [[ordered[rank % len(ordered)]] for rank in range(tp_size)]
    bounds = [rank * len(ordered) // tp_size for rank in range(tp_size + 1)]
    return [ordered[bounds[rank] : bounds[rank + 1]] for rank in range(tp_size)]


def threads_per_rank(cores: Sequence[int], tp_size: int) -> int:
    """Choose the compute threads of each rank: its cores, one core left for the rest.

    The HTTP process and the detokenizer need a core; two threads on two busy cores wait
    for each other at every operator.

    Formula: max(1, (cores - 1) // tp_size).
    """
    return max(1, (len(cores) - 1) // tp_size)


def server_environment(
    cores: Sequence[int],
    tp_size: int = 1,
    *,
    threads: int | None = None,
    own_kernels: bool = True,
    python_path: str = "",
) -> dict[str, str]:
    """Return the variables to set for the server process, on top of the caller's own.

    Args:
        cores: Usable cores, as from ``os.sched_getaffinity(0)``.
        tp_size: Tensor-parallel ranks.
        threads: Compute threads per rank; ``None`` for ``threads_per_rank``.
        own_kernels: Use the shim and the plugin; not where upstream's kernels are installed.
        python_path: The caller's ``PYTHONPATH``, kept behind ours.

    Raises:
        ValueError: If there is no core or no rank.
    """
    ranks = cores_per_rank(cores, tp_size)
    count = str(threads_per_rank(cores, tp_size) if threads is None else threads)
    paths = [str(SHIM_FOLDER), str(PACKAGE_ROOT), *([python_path] if python_path else [])]
    own = {"PYTHONPATH": ":".join(paths), ENVIRONMENT_SWITCH: "1"}
    return {
        **(own if own_kernels else {}),
        "SGLANG_USE_CPU_ENGINE": "1",
        # One list of cores per rank. SGLang reads it, the plugin applies it.
        "SGLANG_CPU_OMP_THREADS_BIND": "|".join(
            ",".join(str(core) for core in rank) for rank in ranks
        ),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        # A thread that waits must not burn a core that another process needs.
        "OMP_WAIT_POLICY": "PASSIVE",
        # A GPU that the machine may have after all is not touched.
        "CUDA_VISIBLE_DEVICES": "",
        # Eager from the first request on: SGLang's small compiled helpers would be
        # compiled with g++ during the first request, for 15 s (README.md).
        "TORCHDYNAMO_DISABLE": "1",
        # Three processes import the same 6000 modules: without cached bytecode they
        # spend 40 s of CPU more on it (README.md). Empty means: do write.
        "PYTHONDONTWRITEBYTECODE": "",
        "TOKENIZERS_PARALLELISM": "false",
    }


def server_arguments(*, adaptive: bool = False) -> list[str]:
    """Return the server arguments that the CPU engine needs.

    A scheduler without work polls, and keeps a core busy, unless told to sleep. The
    launcher's readiness probe takes the place of the server's own warm-up request, which
    waits a second before it begins.

    Args:
        adaptive: The draft steps change. SGLang then makes a CUDA graph for each number of them,
            whatever the device, unless graphs are off; there are none on a CPU anyway
            (sglang 0.5.23, srt/speculative/eagle_worker_v2.py, `build_adaptive_runtime_state`).
    """
    return [
        *(["--disable-cuda-graph"] if adaptive else []),
        *("--device", "cpu"),
        *("--attention-backend", "intel_amx"),
        "--sleep-on-idle",
        "--skip-server-warmup",
    ]


def _is_cpu_build(distribution: Distribution) -> bool:
    """Tell a CPU build of the kernels from the CUDA one, by its files.

    The CPU build brings one extension, ``sgl_kernel/common_ops*.so``; the CUDA build
    brings ``flash_ops``, and ``common_ops`` only in folders named after an architecture
    (``sm90``, ``sm100``).
    """
    names = {str(file) for file in distribution.files or ()}
    extensions = {name for name in names if name.endswith(".so")}
    cuda = any(name.startswith(("sgl_kernel/sm", "sgl_kernel/flash")) for name in extensions)
    return not cuda and any(name.startswith("sgl_kernel/common_ops") for name in extensions)


def upstream_kernels_installed() -> bool:
    """Tell whether upstream's own compiled CPU kernels are installed.

    Then neither the shim nor the plugin is needed. PyPI's ``sglang-kernel`` is CUDA only
    and does not count. Nothing is imported.
    """
    names = {"sglang-kernel", "sglang-kernel-cpu", "sgl-kernel", "sgl-kernel-cpu"}
    return any(
        _is_cpu_build(distribution)
        for distribution in distributions()
        if (distribution.metadata["Name"] or "").lower().replace("_", "-") in names
    )


def refuse_model(architecture: str | None, content: Mapping[str, Any]) -> str | None:
    """Say in one sentence why the CPU engine cannot run a model.

    Each was tried with a small model of that kind, on the real server: README.md, "What runs".

    Args:
        architecture: The first of its ``architectures``, where it names one.
        content: Of its ``config.json``.

    Returns:
        The sentence, or ``None`` if nothing is known that speaks against it.
    """
    if content.get("kv_lora_rank") or architecture in _LATENT:
        return f"{architecture} has latent attention (MLA), which the CPU engine cannot run."
    quantization = content.get("quantization_config")
    if isinstance(quantization, Mapping) and (
        quantization.get("quant_method") == "fp8" or quantization.get("format") == "float-quantized"
    ):
        return (
            f"SGLang {VERIFIED_VERSION} has no kernels for FP8 weights here: on a CPU they want "
            "AMX and its own compiled kernels (layers/quantization/fp8.py)."
        )
    if architecture == "Qwen2MoeForCausalLM" and content.get("shared_expert_intermediate_size"):
        return (
            f"SGLang {VERIFIED_VERSION} gates the shared expert of {architecture} by a Triton "
            "kernel, which needs a GPU (models/qwen2_moe.py)."
        )
    return None


def refuse_reason(speculative_algorithm: str, draft_architecture: str | None = None) -> str | None:
    """Say in one sentence why the CPU engine cannot run a speculative algorithm here.

    Args:
        speculative_algorithm: As SGLang spells it: ``EAGLE``, ``EAGLE3``, ``NEXTN``,
            ``NGRAM``, ``STANDALONE``, ...
        draft_architecture: Class of the draft model, from its ``config.json``, where
            there is one.

    Returns:
        The sentence, or ``None`` if the algorithm is known to run.
    """
    algorithm = speculative_algorithm.upper()
    if algorithm not in _RUNS_ON_CPU:
        return f"{algorithm} speculation was never seen to run without a GPU."
    if algorithm == "STANDALONE" and draft_architecture == "Glm4MoeForCausalLM":
        return (
            f"SGLang {VERIFIED_VERSION} loads a standalone draft model of class Glm4MoeForCausalLM "
            "as a NextN layer, and its first prefill fails."
        )
    missing = [tool for tool in ("c++", "ninja") if shutil.which(tool) is None]
    if algorithm == "NGRAM" and missing:
        return (
            "NGRAM speculation compiles SGLang's n-gram corpus (C++) at the first start, "
            f"and this machine lacks {' and '.join(missing)}."
        )
    return None

"""What becomes of a server's environment variables: a field, or a line that says why not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from launcher.config.fields.secret_names import is_secret_name
from launcher.config.fields.variables import flaw_of_variables
from launcher.diagnosis.secrets import remove_secrets
from launcher.importing.definition import unknowns

_GPUS: Final = frozenset(
    {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
     "ROCR_VISIBLE_DEVICES"}
)  # fmt: skip
# The launcher downloads and looks for models itself, so that they belong into its own environment.
_OF_THE_HUB: Final = frozenset(
    {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_ENDPOINT",
     "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_ENABLE_HF_TRANSFER", "SGLANG_USE_MODELSCOPE",
     "HF_XET_HIGH_PERFORMANCE", "VLLM_USE_MODELSCOPE"}
)  # fmt: skip
_OF_THE_PLACE: Final = frozenset(
    {"PATH", "HOME", "PWD", "USER", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "CUDA_HOME",
     "VIRTUAL_ENV", "CONDA_PREFIX", "NVIDIA_DRIVER_CAPABILITIES", "PYTHONUNBUFFERED",
     "DEBIAN_FRONTEND", "TZ", "LANG", "LC_ALL", "TERM", "SHELL"}
)  # fmt: skip
# Read by libraries, whatever else they are used for.
_OF_LIBRARIES: Final = (
    "SGLANG_", "SGL_", "NCCL_", "CUDA_", "TORCH", "PYTORCH_", "HF_", "OMP_", "GLOO_", "UCX_",
    "NVSHMEM_", "TRITON_", "VLLM_",
)  # fmt: skip
_ENGINES: Final = ("SGLANG_", "SGL_", "VLLM_")
# What stands before the host in a URL, and keys in the midst of a value.
_SECRET: Final = re.compile(
    r"://[^/\s@]+@|\b(?:bearer|basic)\s+\S|authorization\b|"
    r"(?:pass(?:word|wd)?|secret|token|key)[\"']?\s*[=:]\s*[\"']?[^\s\"',;]",
    re.IGNORECASE,
)
_OF_A_JOB: Final = ("SLURM_", "SKYPILOT_", "KUBERNETES_", "POD_", "VLLM_", "DOCKER_")


@dataclass(frozen=True, slots=True)
class Variables:
    """A server's variables, sorted out.

    Attributes:
        kept: for the field `environment`.
        dropped: a line for each of the others.
    """

    kept: Mapping[str, str]
    dropped: tuple[str, ...]


def holds_secret(text: str) -> bool:
    """Whether a value, or an argument with its value, holds a key, a password or a header."""
    return _SECRET.search(text) is not None or remove_secrets((text,)) != (text,)


def sort_out(
    environment: Mapping[str, str],
    used: frozenset[str],
    engine: str,
    why_unread: Callable[[str], str | None],
    *,
    on_cpu: bool,
) -> Variables:
    """Decide about each variable. What only fills in the command has done so, and is left out.

    Args:
        used: names of those that fill in the command.
        environment: of the server; values that are not known are marked.
        engine: what reads it, for people.
        why_unread: says of a variable of the engine's why it has no effect; None where it has.
        on_cpu: the server runs on a CPU.
    """
    kept: dict[str, str] = {}
    dropped: list[str] = []
    for name, value in environment.items():
        if name in used and not name.startswith(_OF_LIBRARIES):
            continue
        reason = _reason(name, value, engine, why_unread, on_cpu=on_cpu)
        if reason is None:
            kept[name] = value
        else:
            dropped.append(f"{name}: {reason}")
    return Variables(kept, tuple(dropped))


def _reason(
    name: str,
    value: str,
    engine: str,
    why_unread: Callable[[str], str | None],
    *,
    on_cpu: bool,
) -> str | None:
    """Why a variable does not become one of the field, or None where it does."""
    reason = None
    if name.endswith("API_KEY") and name.startswith(_ENGINES):
        reason = "a secret, not written; name a file of mode 0600 with api_key_file"
    elif is_secret_name(name) or holds_secret(f"{name}={value}"):
        reason = "a secret, not written; export it in the shell that starts `up`"
    elif found := unknowns(value):
        reason = f"its value is not in the definition ({found[0]})"
    elif name in _GPUS:
        reason = f"the launcher names the GPUs; start `up` with CUDA_VISIBLE_DEVICES={value}"
    elif name in _OF_THE_HUB:
        reason = f"the launcher looks for models itself; start `up` with {name}={value}"
    elif name in _OF_THE_PLACE or name.startswith("NVIDIA_"):
        reason = "of the place where it ran; not taken over"
    elif name.startswith(_OF_A_JOB):
        reason = f"not {engine}'s; not taken over"
    if reason is None:
        reason = why_unread(name)
    flaw = None if reason else flaw_of_variables((f"{name}={value}",), on_cpu=on_cpu)
    return reason or (None if flaw is None else flaw.removeprefix(f"{name} "))

"""Variables of the user's that reach a server and may break it. Pure.

Their names go into an error whose cause is unknown, never their values: a value may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PREFIXES: Final = (
    *("SGLANG_", "SGL_", "TORCH", "PYTORCH_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "TRITON_"),
    *("FLASHINFER_", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "MALLOC_", "VLLM_", "LD_"),
)
_NAMES: Final = frozenset(
    {
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "PYTHONMALLOC"),
        *("PYTHONSAFEPATH", "PYTHONNOUSERSITE", "PYTHONWARNINGS", "PYTHONPLATLIBDIR"),
        *("GLIBC_TUNABLES", "TMPDIR", "CC", "CXX"),
    }
)
MOST_NAMED: Final = 12


def suspects(environment: Mapping[str, str], own: Mapping[str, str]) -> tuple[str, ...]:
    """The names of such variables, in their order.

    Args:
        environment: of the launcher, which a server inherits.
        own: what the launcher sets for the server itself, and so is no stranger's.
    """
    return tuple(
        sorted(
            name
            for name in environment
            if (name.startswith(_PREFIXES) or name in _NAMES)
            and name.isidentifier()
            and name not in own
        )
    )


def describe_suspects(names: tuple[str, ...]) -> str:
    """That they are set, as a sentence with a blank before it; empty without any."""
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f" It runs with your {', '.join(names[:MOST_NAMED])}{more}: try it without."

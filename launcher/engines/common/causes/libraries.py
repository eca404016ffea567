"""Shared libraries that do not load.

What to install depends on whose library it is: the driver's, CUDA's, the system's, torch's.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch

_CANNOT_OPEN: Final = (
    r"(?P<library>lib[\w+.-]*?\.so(?:\.[\d.]*\d)?): cannot open shared object file"
)
# Those of NVIDIA's toolkit, which pip brings in packages of its own.
_CUDA: Final = re.compile(
    r"^lib(?:cu(?:dart|blas|dnn|fft|sparse|solver|rand|pti|file|tensor)|nv(?:rtc|JitLink|ToolsExt"
    r"|shmem|perf)|nccl|nvrtc)"
)
_TORCH: Final = re.compile(r"^lib(?:torch|c10)")
# Those that a wheel brings for itself, so that a reinstall does help.
_BUNDLED: Final = re.compile(r"^lib(?:zmq|sodium|openblas|scipy)|-[0-9a-f]{8}\.so")
# Library -> package of Debian and Ubuntu. The others are found by `apt-file search`.
_PACKAGES: Final = {
    "libnuma": "libnuma1",
    "libibverbs": "libibverbs1",
    "librdmacm": "librdmacm1",
    "libmlx5": "ibverbs-providers",
    "libGL": "libgl1",
    "libEGL": "libegl1",
    "libglib-2": "libglib2.0-0",
    "libgthread-2": "libglib2.0-0",
    "libgomp": "libgomp1",
    "libstdc++": "libstdc++6",
    "libsndfile": "libsndfile1",
    "libaio": "libaio1",
    "libtbb": "libtbb12",
    "libtcmalloc": "libgoogle-perftools4",
    "libnl-3": "libnl-3-200",
    "libnl-route-3": "libnl-route-3-200",
    "libmpi": "libopenmpi3",
    "libavcodec": "ffmpeg",
    "libavutil": "ffmpeg",
    "libSM": "libsm6",
    "libXext": "libxext6",
    "libXrender": "libxrender1",
    "libcurl": "libcurl4",
    "libssl": "libssl3",
    "libpython3": "libpython3-dev",
}
# Library of CUDA -> NVIDIA's wheel on PyPI that has it, but for the number of the toolkit.
_WHEELS: Final = {
    "libcudart": "nvidia-cuda-runtime",
    "libnvrtc": "nvidia-cuda-nvrtc",
    "libcublas": "nvidia-cublas",
    "libcudnn": "nvidia-cudnn",
    "libcufft": "nvidia-cufft",
    "libcusparseLt": "nvidia-cusparselt",
    "libcusparse": "nvidia-cusparse",
    "libcusolver": "nvidia-cusolver",
    "libcurand": "nvidia-curand",
    "libcupti": "nvidia-cuda-cupti",
    "libcufile": "nvidia-cufile",
    "libnvJitLink": "nvidia-nvjitlink",
    "libnvshmem": "nvidia-nvshmem",
    "libnccl": "nvidia-nccl",
}


# A library whose file is not called as its package.
_PACKAGE_OF: Final = {"common_ops": "sgl_kernel", "flash_attn_2_cuda": "flash_attn"}


def _name(library: str) -> str:
    return library.partition(".so")[0]


def _number(library: str) -> str:
    """The 12 of libcudart.so.12, or ''."""
    return library.partition(".so.")[2].partition(".")[0]


def _is_cuda(match: LogMatch) -> bool:
    return bool(_CUDA.match(match["library"]))


def _is_torch(match: LogMatch) -> bool:
    return bool(_TORCH.match(match["library"]))


def _is_of_the_system(match: LogMatch) -> bool:
    library = match["library"]
    return not (_BUNDLED.search(library) or _CUDA.match(library) or _TORCH.match(library))


def _is_of_the_kernels(match: LogMatch) -> bool:
    """Whether sgl_kernel lists it among its failed attempts."""
    return _is_cuda(match) and "common_ops" in match.text


def _find_kernels_library(match: LogMatch) -> str:
    return (
        f"Reinstall sglang-kernel in the build for the CUDA of the installed torch (`uv sync "
        f"--reinstall-package sglang-kernel`); where {_cuda_of(match)} is right, put the folder "
        f"that holds {match['library']} (site-packages/nvidia/*/lib) on LD_LIBRARY_PATH."
    )


def _cuda_of(match: LogMatch) -> str:
    number, name = _number(match["library"]), _name(match["library"])
    # Only these carry the toolkit's own number.
    names_toolkit = re.match(r"lib(?:cudart|cublas|nvrtc|nvJitLink|cupti|nvToolsExt)", name)
    return f"CUDA {number}" if number and names_toolkit else "CUDA"


def _find_cuda_library(match: LogMatch) -> str:
    cuda, name = _cuda_of(match), _name(match["library"])
    wheel = next((wheel for begin, wheel in _WHEELS.items() if name.startswith(begin)), None)
    suffix = f"-cu{cuda[5:]}" if cuda[5:] in {"11", "12"} else ""
    if cuda == "CUDA" and wheel:
        suffix = "-cu12` or `-cu13"
    brings = f"`uv pip install {wheel}{suffix}`" if wheel else "the package that brings it"
    return (
        f"Put the folder that holds {match['library']} on LD_LIBRARY_PATH: "
        f"site-packages/nvidia/*/lib of the environment, or $CUDA_HOME/lib64 of {cuda}; where "
        f"there is none, install {brings}. "
        f"If torch here is for another CUDA, take the builds for {cuda} of all packages."
    )


def _install_system_library(match: LogMatch) -> str:
    library = match["library"]
    package = _PACKAGES.get(_name(library))
    found = f"`apt-get install {package}`" if package else f"`apt-file search {library}` names it"
    return (
        f"Install the system's package that has it ({found}); a reinstall of the Python packages "
        "does not help."
    )


def _file(match: LogMatch) -> str:
    """The library that the loader speaks of, before the colon."""
    found = re.search(r"(\S+\.so\S*): (?:undefined|version)", match.found.string)
    return found[1] if found else ""


def _one_of_a_kind(match: LogMatch) -> str:
    symbol = match["symbol"].lower().lstrip("_")
    found = (wheel for name, wheel in _WHEELS.items() if symbol.startswith(name[3:].lower()))
    wheel = next(found, None)
    unset = (
        "Unset LD_LIBRARY_PATH and LD_PRELOAD, which put an older CUDA before the one that torch "
        "brings, or put the folders site-packages/nvidia/*/lib first"
    )
    if wheel is None:
        return f"{unset}."
    return (
        f"Install {wheel} in the version that the installed torch pins (`uv pip check`), and "
        f"remove a second one of another CUDA. {unset}."
    )


def _package_of(match: LogMatch) -> str:
    """The Python package whose library misses a symbol, by its path."""
    path = _file(match)
    found = re.search(r"(?:site|dist)-packages/([\w-]+)", path)
    folder, _, file = path.rpartition("/")
    name = found[1] if found else file.partition(".")[0]
    if name.startswith("_"):
        # vllm/_C.abi3.so, of a checkout
        name = folder.rpartition("/")[2] or name
    return _PACKAGE_OF.get(name, name) or "A package"


def _is_driver_symbol(match: LogMatch) -> bool:
    # cuGreenCtxCreate is the driver's, cudaMalloc the runtime's, cublasCreate a library's.
    return re.match(r"cu[A-Z]", match["symbol"]) is not None


def _is_torch_symbol(match: LogMatch) -> bool:
    return bool(re.search(r"c10|torch|caffe2|N2at|aoti", match["symbol"]))


def _reinstall_for_torch(match: LogMatch) -> str:
    package = _package_of(match).replace("_", "-")
    if package == "flash-attn":
        return (
            "Uninstall flash-attn, which the engine does not need, or install the wheel of it that "
            "is built for the installed torch."
        )
    return (
        f"Reinstall {package} in the version that is built for the installed torch "
        "(`uv pip show torch`), or install torch and it together in the versions that the engine "
        "asks for; compiled from source, build it again."
    )


ERRORS: Final = {
    "torch-mismatch": LogCause(
        broken_engine=True,
        pattern=r"\.so[\w.]{0,20}: undefined symbol: (?P<symbol>\S+)",
        applies=_is_torch_symbol,
        sample="ImportError: /venv/site-packages/sgl_kernel/common_ops.abi3.so: undefined symbol: "
        "_ZN3c104cuda9SetDeviceEa",
        summary=lambda match: (
            f"{_package_of(match)} was built for another version of torch: the symbol "
            f"{match['symbol'][:80]} is missing."
        ),
        action=_reinstall_for_torch,
        remedy="Install that package in the version made for the installed torch.",
    ),
    "driver-lacks-symbol": LogCause(
        pattern=r"undefined symbol: (?P<symbol>\w+)",
        applies=_is_driver_symbol,
        sample="ImportError: /venv/site-packages/sgl_kernel/common_ops.abi3.so: undefined symbol: "
        "cuGreenCtxStreamCreate",
        summary="The NVIDIA driver is too old: its library has no {symbol}, which the kernels "
        "call.",
        action="Update the driver (`nvidia-smi` shows its version), or install the kernels' build "
        "for an older CUDA.",
    ),
    "cuda-libraries-mixed": LogCause(
        confidence=Confidence.LIKELY,
        broken_engine=True,
        pattern=r"\.so[\w.]{0,20}: (?:undefined symbol: (?P<symbol>\S+)"
        r"|version `(?P<needed>lib\w+\.so\.\d+)' not found)",
        sample="ImportError: /venv/site-packages/torch/lib/../../nvidia/cusparse/lib/"
        "libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12",
        summary=lambda match: (
            f"{_file(match).rpartition('/')[2]} finds a library of another version: "
            f"{(match['symbol'] or match['needed']).rstrip(',')[:80]} is missing in it."
        ),
        action=_one_of_a_kind,
        remedy="Unset LD_LIBRARY_PATH, or reinstall the library in the version that torch pins.",
    ),
    "c-library-too-old": LogCause(
        pattern=r"version `(?P<needed>(?:GLIBC|GLIBCXX|CXXABI|GCC)_[\d.]+)' not found",
        sample="ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found",
        summary="This system's C or C++ library is too old: {needed} is needed.",
        action="Serve in a container or on a system that is newer (Ubuntu 22.04 has GLIBC_2.35 and "
        "GLIBCXX_3.4.30); for GLIBCXX alone, libstdc++ of conda first on LD_LIBRARY_PATH.",
    ),
    "kernels-unloadable": LogCause(
        broken_engine=True,
        pattern=_CANNOT_OPEN,
        applies=_is_of_the_kernels,
        summary=lambda match: (
            "The engine's kernels (sgl_kernel) cannot be loaded: they need "
            f"{match['library']} of {_cuda_of(match)}, which the loader does not find."
        ),
        action=_find_kernels_library,
        looks="`libnvrtc.so.12: cannot open` below `[sgl_kernel] CRITICAL`",
        remedy="Take their build for the CUDA that is here, or let the loader find the library.",
    ),
    "cuda-library-missing": LogCause(
        pattern=_CANNOT_OPEN,
        applies=_is_cuda,
        sample="ImportError: libcudart.so.12: cannot open shared object file: No such file or "
        "directory",
        summary=lambda match: (
            f"A library of {_cuda_of(match)} is not found by the loader: {match['library']}."
        ),
        action=_find_cuda_library,
        remedy="Put the folder that has it on LD_LIBRARY_PATH; a reinstall of the engine does not "
        "help.",
    ),
    "torch-library-missing": LogCause(
        broken_engine=True,
        pattern=_CANNOT_OPEN,
        applies=_is_torch,
        sample="ImportError: libtorch_cuda.so: cannot open shared object file: No such file or "
        "directory",
        summary="A library of torch is missing, or torch is another build than the package was "
        "made for: {library}.",
        action="Install torch for CUDA (`python -c 'import torch; print(torch.version.cuda)'` "
        "shows what is here), and the package again for it.",
    ),
    "system-library-missing": LogCause(
        pattern=_CANNOT_OPEN,
        applies=_is_of_the_system,
        sample="OSError: libnuma.so.1: cannot open shared object file: No such file or directory",
        summary="A library of the system is missing: {library}.",
        action=_install_system_library,
        remedy="Install the package of the system that has it; a reinstall of the engine does not "
        "help.",
    ),
}

# Below that line the kernels say why, which may be a cause of its own.
ECHOES: Final = {
    "kernels-unloadable": LogCause(
        broken_engine=True,
        pattern=r"\[sgl_kernel\] CRITICAL: Could not load any common_ops library",
        sample="[sgl_kernel] CRITICAL: Could not load any common_ops library!",
        summary="The engine's kernels (sgl_kernel) cannot be loaded.",
        action="Reinstall them: `uv sync --reinstall-package sglang-kernel`.",
    ),
}

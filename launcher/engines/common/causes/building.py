"""Kernels that have to be compiled here, and what is missing, too old or wrongly named for it.

The texts are those of triton, ninja, nvcc, gcc, flashinfer, DeepGEMM and torch.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry

_TOOLS: Final = r"nvcc|ninja|gcc|g\+\+|cc|c\+\+|clang(?:\+\+)?|cmake|ptxas|cicc|nvrtc"
_INSTALL: Final = {
    "nvcc": "Install the CUDA toolkit in torch's version, and set CUDA_HOME to its folder",
    "cicc": "Install the CUDA toolkit in torch's version, and set CUDA_HOME to its folder",
    "ptxas": "Install the CUDA toolkit in torch's version, and set CUDA_HOME to its folder",
    "ninja": "Install ninja (`uv pip install ninja` or `apt-get install ninja-build`)",
    "cmake": "Install cmake (`uv pip install cmake`)",
}
_INSTALL_GCC: Final = "Install a C compiler (`apt-get install build-essential`), or set CC to one"


def _tool(match: LogMatch) -> str:
    tool = match["tool"] or match["program"] or match["misses"]
    if match["language"]:
        return f"the {match['language']} compiler"
    return tool or "the CUDA toolkit"


def _install_tool(match: LogMatch) -> str:
    tool = match["tool"] or match["program"] or match["misses"]
    if match["language"] or tool in {"gcc", "g++", "cc", "c++", "clang", "clang++"}:
        return f"{_INSTALL_GCC}."
    if not tool:
        return "Install the CUDA toolkit and ninja, and set CUDA_HOME."
    return f"{_INSTALL[tool]}." if tool in _INSTALL else f"Install {tool}."


def _malformed(match: LogMatch) -> str:
    return f"The path of {match['tool']} is malformed: {match['path']!r} is no file."


def _right_path(match: LogMatch) -> str:
    folder = match["path"].partition(f"/bin/{match['tool']}")[0]
    parts = [part for part in folder.split(":") if part]
    good = parts[-1] if parts else "/usr/local/cuda"
    return (
        f"Correct CUDA_HOME (or CUDA_PATH): {folder!r} is no folder; it is one folder, such as "
        f"{good}, and no list."
    )


def _architecture(match: LogMatch) -> str:
    return match["arch"] or match["gpu"] or "this GPU"


def _header(match: LogMatch) -> str:
    header = match["header"]
    if header == "Python.h":
        return "Install Python's headers (`apt-get install python3-dev`, in Python's own version)."
    if re.search(r"cu|nv|thrust|cub/|cccl", header):
        return (
            "Install the whole CUDA toolkit, headers included, in torch's version, and set "
            "CUDA_HOME to it: a runtime image of CUDA has no headers, a devel image does."
        )
    return f"Install the development package that has {header} (`apt-file search {header}`)."


def _library(match: LogMatch) -> str:
    if match["library"] == "cuda":
        return (
            "Make libcuda.so visible to the linker: LIBRARY_PATH=$CUDA_HOME/lib64/stubs, or a link "
            "libcuda.so beside the driver's libcuda.so.1, then `ldconfig`."
        )
    return (
        f"Put the folder that has lib{match['library']}.so on LIBRARY_PATH ($CUDA_HOME/lib64 for "
        "those of CUDA), or install its development package."
    )


ERRORS: Final = {
    "compiler-path-malformed": LogCause(
        # Before the one that is missing: the compiler is there, its path is a list or begins with
        # a colon.
        pattern=rf"(?<!\S)(?P<path>\S{{1,300}}/bin/(?P<tool>{_TOOLS}))\\?[\"']?:? "
        r"(?:not found|No such file)",
        applies=lambda match: re.match(r"[\w./~$-]*[:;\"'\\]", match["path"]) is not None,
        sample="/bin/sh: 1: :/opt/cuda/bin/nvcc: not found",
        summary=_malformed,
        action=_right_path,
        remedy="Correct CUDA_HOME: one folder, without a colon.",
    ),
    "kernel-compiler-missing": LogCause(
        pattern=rf"\b(?P<tool>(?:{_TOOLS})(?![\w+])):? (?:was |command )?not found"
        rf"|No such file or directory: '(?:[^']*/)?(?P<program>{_TOOLS})'"
        r"|(?:Failed to find|No working) (?P<language>C(?:\+\+)?) compiler"
        r"|Could not find (?P<misses>nvcc|ninja)|Could not find CUDA installation"
        r"|CUDA_HOME environment variable is not set|Ninja is required to load C\+\+ extensions",
        sample="/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found\n"
        "FileNotFoundError: [Errno 2] No such file or directory: 'ninja'\n"
        "RuntimeError: Failed to find C compiler. Please specify via CC environment variable",
        summary=lambda match: f"A kernel has to be compiled and {_tool(match)} is not here.",
        action=_install_tool,
        remedy="Install the CUDA toolkit (with CUDA_HOME), ninja or a C compiler, whichever it is.",
    ),
    "ptxas-too-old": LogCause(
        pattern=r"ptxas fatal\s*:+ ?Value '(?P<arch>\w+)' is not defined for option 'gpu-name'",
        sample="ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'",
        summary="The assembler ptxas is older than this GPU: it does not know {arch}.",
        action="Set TRITON_PTXAS_PATH to the ptxas of a CUDA toolkit that knows {arch} "
        "($CUDA_HOME/bin/ptxas of the newest one), or install a newer triton.",
    ),
    "toolkit-too-old": LogCause(
        pattern=r"nvcc fatal\s*: Unsupported gpu architecture '(?P<arch>\w+)'"
        r"|nvcc fatal\s*: Unknown option|nvrtc: error: invalid value for --gpu-architecture"
        r"|(?:[Tt]arget|GPU) (?P<gpu>sm_?\d+\w?) (?:requires|needs) CUDA"
        r"|requires? CUDA (?:version |toolkit )?(?:>=|at least|newer|\d+\.\d+ or)"
        r"|NVCC version (?:should be|must be|>=)"
        r"|detected CUDA version \([\d.]+\) mismatches the version that was used to compile",
        sample="nvcc fatal   : Unsupported gpu architecture 'compute_120a'\n"
        "RuntimeError: The detected CUDA version (11.8) mismatches the version that was used to "
        "compile PyTorch (13.0).",
        summary=lambda match: (
            f"The CUDA toolkit that compiles kernels here does not fit {_architecture(match)} or "
            "the installed torch."
        ),
        action="Install the CUDA toolkit in the version of torch (`python -c 'import torch; "
        "print(torch.version.cuda)'`) or newer, and point CUDA_HOME and PATH at it (`nvcc "
        "--version` shows the one in use).",
    ),
    "compiler-too-new": LogCause(
        pattern=r"unsupported GNU version! gcc versions later than (?P<most>\d+) are not supported",
        sample="error: -- unsupported GNU version! gcc versions later than 12 are not supported!",
        summary="The C++ compiler is newer than the CUDA toolkit takes: gcc up to {most}.",
        action="Install gcc {most} and set CC, CXX and NVCC_PREPEND_FLAGS='-ccbin g++-{most}', or "
        "install a newer CUDA toolkit.",
    ),
    "header-missing": LogCause(
        pattern=r"fatal error: (?P<header>[\w./+-]+\.(?:h|hpp|cuh)|cuda/std/\w+|nv/\w+): "
        r"No such file",
        sample="fatal error: Python.h: No such file or directory",
        summary="A kernel has to be compiled and the header {header} is not here.",
        action=_header,
        remedy="Install Python's or CUDA's headers, whichever it is.",
    ),
    "linker-library-missing": LogCause(
        pattern=r"\bld(?:\.\w+)?: cannot find -l(?P<library>[\w+.-]+)",
        sample="/usr/bin/ld: cannot find -lcuda: No such file or directory",
        summary="A kernel was compiled and cannot be linked: lib{library} is not found.",
        action=_library,
        remedy="Let the linker find the library: LIBRARY_PATH.",
    ),
    "compiler-killed": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"(?:cc1plus|cicc|ptxas|nvcc|cudafe\+\+).? died due to signal 9"
        r"|Killed signal terminated program|fatal error: Killed signal",
        sample="nvcc error   : 'cicc' died due to signal 9 (Kill signal)",
        summary="The kernel killed a compiler for want of memory.",
        action="Start again with MAX_JOBS=2 (fewer compilers at the same time), or give the "
        "machine or container more memory.",
    ),
}

# What ninja says of its compiler.
ECHOES: Final = {
    "kernel-compile-failed": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"^[\w.]*Error: (?:Ninja build failed|ninja exited with|Error building ext"
        r"|PTXAS error|Internal Triton PTX|NVCC compilation failed|Failed to compile)"
        r"|^[\w.]*(?:CompilationError|PTXASError|BackendCompilerFailed|InductorError): ",
        sample="RuntimeError: Ninja build failed. Ninja output:\n"
        "RuntimeError: Error building extension 'kernels'",
        summary="A kernel could not be compiled.",
        action="Read the compiler's error further up; a CUDA toolkit older than torch's is the "
        "usual one.",
    ),
}

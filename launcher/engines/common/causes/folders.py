"""Folders and files that the server may not write or read, or that are not there."""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry

# What stands in a path -> the variable that moves that folder.
_MOVED_BY: Final = (
    (r"[./]triton", "TRITON_CACHE_DIR"),
    (r"flashinfer", "FLASHINFER_WORKSPACE_BASE"),
    (r"torchinductor", "TORCHINDUCTOR_CACHE_DIR"),
    (r"torch_extensions", "TORCH_EXTENSIONS_DIR"),
    (r"deep_gemm", "SGLANG_DG_CACHE_DIR"),
    (r"tvm-ffi", "TVM_FFI_CACHE_DIR"),
    (r"huggingface|/hub/", "HF_HOME"),
    (r"\.nv/|ComputeCache", "CUDA_CACHE_PATH"),
    (r"outlines", "OUTLINES_CACHE_DIR"),
    (r"matplotlib", "MPLCONFIGDIR"),
    (r"numba", "NUMBA_CACHE_DIR"),
    (r"^/tmp/", "TMPDIR"),  # a pattern for what the log names
)
_MODEL_FILE: Final = re.compile(r"\.(?:safetensors|json|model|jinja|bin|txt)$")


def moved_by(path: str) -> str:
    """The variables that move the folder of a path, as a clause."""
    variable = next((name for part, name in _MOVED_BY if re.search(part, path)), None)
    return f"{variable} or HOME" if variable else "HOME"


def _path(match: LogMatch) -> str:
    return match["path"] or match["made"] or match["cpp"] or "a folder"


def _is_model_file(match: LogMatch) -> bool:
    path = _path(match)
    return path.startswith(f"{match.config.model_path}/") or bool(_MODEL_FILE.search(path))


def _denied(match: LogMatch) -> str:
    if "Read-only" in match.found[0]:
        return f"The server cannot write {_path(match)}: the file system is read-only."
    if _is_model_file(match):
        return f"The server may not read {_path(match)}."
    return f"The server may not write {_path(match)}."


def _make_writable(match: LogMatch) -> str:
    path = _path(match)
    if _is_model_file(match) and "Read-only" not in match.found[0]:
        return (
            "Let the user that the server runs as read the model's files (`ls -l` shows their "
            "owner and mode), or run it as their owner."
        )
    if "Read-only" in match.found[0]:
        return f"Point {moved_by(path)} at a folder that can be written, or mount one there."
    return (
        "Give that folder to the user that the server runs as (`chown`), or point "
        f"{moved_by(path)} at a folder that it can write."
    )


ERRORS: Final = {
    "folder-not-writable": LogCause(
        pattern=r"(?:\[Errno (?:13|1|30)\] |: )?(?:Permission denied|Read-only file system"
        r"|Operation not permitted): '(?P<path>/[^']{1,300})'"
        r"|cannot create directory .(?P<made>/[^\u2019']{1,300}).: (?:Permission|Read-only)"
        r"|(?:cannot create|filesystem error).{0,80}Permission denied \[(?P<cpp>/[^\]]{1,300})\]"
        r"|Permission denied \(os error 13\)",
        sample="PermissionError: [Errno 13] Permission denied: '/home/app/.triton'\n"
        "OSError: [Errno 30] Read-only file system: '/root/.cache/flashinfer'",
        summary=_denied,
        action=_make_writable,
        remedy="Give the folder to the server's user, or move it with HOME or the cache's own "
        "variable.",
    ),
    "socket-path-too-long": LogCause(
        # libzmq's ipc transport, and Python's own sockets: sockaddr_un of unix(7).
        pattern=r"ipc path .{0,500} is longer than \d{1,4} characters|AF_UNIX path too long",
        sample='zmq.error.ZMQError: ipc path "/scratch/user/tmp/tmpab12cd34" is longer than 107 '
        "characters (sizeof(sockaddr_un.sun_path)).",
        summary="The path of the temporary folder is too long for a socket, whose whole path may "
        "have 107 bytes.",
        action="Set TMPDIR to a folder with a shorter path, such as /tmp.",
    ),
    "address-limit": LogCause(
        # Of a library without a folder: one that the loader found itself. With a folder, the
        # file system may be the reason.
        pattern=r"(?<![\w/.-])(?P<library>lib[\w+.-]{1,80}\.so[\d.]{0,20}): "
        r"failed to map segment from shared object",
        sample="ImportError: libtorch_cpu.so: failed to map segment from shared object",
        summary="The system does not give a process of the server the addresses to load {library}: "
        "a limit is too low.",
        action="Look at `ulimit -v` and lift it before the start, `ulimit -v unlimited`, or "
        "LimitAS=infinity of a service.",
    ),
    "folder-noexec": LogCause(
        pattern=r"(?<!\S)(?P<path>/\S{1,300}): failed to map segment from shared object",
        sample="ImportError: /scratch/triton/4WQ2/cuda_utils.so: failed to map segment from shared "
        "object",
        summary="A compiled kernel cannot be loaded from {path}: its file system does not allow "
        "programs to run (noexec).",
        action=lambda match: (
            f"Point {moved_by(match['path'])} at a folder on a file system without noexec, or "
            "mount that one again without it."
        ),
        remedy="Move that cache to a file system that is not mounted noexec.",
    ),
    "cache-race": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ALWAYS,
        pattern=r"(?:\[Errno \d+\] )?(?:No such file or directory|Stale file handle): '"
        r"(?P<path>/[^']{0,200}(?:triton|inductor|flashinfer|deep_gemm|tvm-ffi)[^']{0,200})'"
        r"|\[Errno 116\] Stale file handle",
        sample="OSError: [Errno 116] Stale file handle: '/home/u17/.triton/cache/7QF3ZV/fwd.json'",
        summary="Several processes write the same cache of kernels at once, most likely on a "
        "network file system.",
        action=lambda match: (
            f"Point {moved_by(match['path']).partition(' or ')[0]} at a folder on a local disk, "
            "and start again."
        ),
        remedy="Point that cache at a local disk (`TRITON_CACHE_DIR`), and start again.",
    ),
    "no-file-locks": LogCause(
        pattern=r"No locks available(?:: '(?P<path>/[^']{1,300})')?|\[Errno 37\]",
        sample="OSError: [Errno 37] No locks available: '/nfs/hf/hub/.locks/models--org--m/a.lock'",
        summary=lambda match: (
            f"The file system of {match['path'] or 'a cache'} gives no locks (NFS without lockd?)."
        ),
        action="Point HF_HOME at a local disk, mount the share with locking, or fetch the model "
        "once and give its folder as --model-path.",
    ),
    "user-without-name": LogCause(
        pattern=r"getpwuid\(\): uid not found: (?P<uid>\d+)|No username set in the environment",
        sample="KeyError: 'getpwuid(): uid not found: 1000'",
        summary="The user that the server runs as has no name on this system (container).",
        action="Set USER and HOME, and TORCHINDUCTOR_CACHE_DIR to a folder that it can write, or "
        "start the container with a user that its /etc/passwd has.",
    ),
}

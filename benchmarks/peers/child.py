"""A child process with a bounded time, killed with all that it started, its CPU time counted."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.errors import PeerError

EVIDENCE_LINES: Final = 20
_EVIDENCE_BYTES: Final = 64 * 1024
# Another's settings or keys must not change what is measured, nor reach a server.
_OTHERS_PREFIXES: Final = ("GUIDELLM__", "SGLANG_", "SPECSERVE_", "OPENAI_")
_OTHERS_NAMES: Final = frozenset(
    {"API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}
)
_SETTINGS: Final[Mapping[str, str]] = {
    # No network but the server: the tokenizer is in a folder.
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # A GPU is the server's.
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONUNBUFFERED": "1",
}


def child_environment(
    inherited: Mapping[str, str], own: Mapping[str, str], *, scratch: Path
) -> dict[str, str]:
    """What a tool sees: the caller's variables but for settings, keys and proxies, then its own.

    Args:
        inherited: the caller's.
        own: of the tool; wins.
        scratch: a folder for caches, thrown away afterwards.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(_OTHERS_PREFIXES) and name.upper() not in _OTHERS_NAMES
    }
    return {**kept, **_SETTINGS, "HF_DATASETS_CACHE": str(scratch), **own}


def run(
    argv: tuple[str, ...],
    *,
    tool: str,
    environment: Mapping[str, str],
    cwd: Path,
    log: Path,
    timeout_seconds: float,
    secret: str | None = None,
) -> float:
    """Run a command to its end, in a session of its own; nothing that it started is left.

    Args:
        argv: the command.
        tool: what errors call it.
        environment: all of it.
        cwd: its working folder.
        log: file that takes what it prints.
        timeout_seconds: after which it is killed.
        secret: a key that must not be in the evidence of an error.

    Returns:
        CPU time of the process and of the children that it waited for, user and system, in
        seconds.

    Raises:
        PeerError: it cannot be started, failed, or took too long.
        OSError: the log cannot be written.
    """
    with log.open("wb") as output:
        try:
            child = subprocess.Popen(
                argv,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise PeerError(
                f"{tool} cannot be started: {error}", action="Check its installation."
            ) from error
    in_time, cpu_seconds = _end(child, timeout_seconds)
    if not in_time:
        raise PeerError(
            f"{tool} did not end within {timeout_seconds:g} s, and was killed.",
            action="Give it more time or fewer prompts, or see whether the server hangs.",
            evidence=last_lines(log, secret=secret),
        )
    if child.returncode != 0:
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"code {child.returncode}"
        raise PeerError(
            f"{tool} ended with {how} instead of 0.",
            action=f"See {log}.",
            evidence=last_lines(log, secret=secret),
        )
    return cpu_seconds


def _end(child: subprocess.Popen[bytes], timeout_seconds: float) -> tuple[bool, float]:
    """Wait for a child, then kill its group; whether it had ended by itself, and its CPU time."""
    in_time = False
    try:
        in_time = _ended_within(child.pid, timeout_seconds)
    finally:
        # Not reaped yet, so the group is still ours, even where the first process has ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    return in_time, usage.ru_utime + usage.ru_stime


def _ended_within(pid: int, timeout_seconds: float) -> bool:
    """Wait for a child without reaping it."""
    descriptor = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], timeout_seconds)
        return bool(ready)
    finally:
        os.close(descriptor)


def last_lines(log: Path, *, secret: str | None = None) -> tuple[str, ...]:
    """The end of what a tool printed, the newest last; nothing where there is no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _EVIDENCE_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    if secret:
        text = text.replace(secret, "***")
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return tuple(lines[-EVIDENCE_LINES:])

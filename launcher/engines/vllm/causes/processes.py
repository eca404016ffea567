"""Ends of the server's processes: ports, time limits, crashes, and signals from outside.

Source: vllm 0.32.0, v1/engine/core_client.py and utils.py, v1/executor/multiproc_executor.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry, ServerEnd, SilentCause

_NOT_OURS: Final = (
    "Look in `dmesg -T` (or at OOMKilled of the container) whether it was the kernel, for want of "
    "the host's memory: then it needs more; else a person or a service manager ended it, and "
    "nothing in the configuration is to blame."
)
_MORE_MEMORY: Final = (
    "Give the machine, the container or the service more memory, stop other programs, or take a "
    "smaller KV cache on a CPU, `-- --kv-cache-memory-bytes 1073741824`."
)


def _ended_by(*signals: signal.Signals) -> Callable[[ServerEnd], bool]:
    return lambda end: end.returncode in {-one for one in signals}


def _worker_ended(match: LogMatch) -> str:
    code = match["code"]
    if not code:
        return f"The process {match['name']} ended without a word."
    if code.startswith("-"):
        return f"The process {match['name']} was ended by signal {code[1:]}."
    return f"The process {match['name']} ended with exit code {code}."


def _is_killed(match: LogMatch) -> bool:
    return match["code"] in {"-9", "-15"}


def _look_above(match: LogMatch) -> str:
    drafts = match.config.speculative_algorithm is not None
    more = "; should it repeat, decode without a draft model, --no-speculation" if drafts else ""
    return (
        "Look for the last lines of that process further up, and in `dmesg -T`: a crash in native "
        f"code says nothing else{more}."
    )


ERRORS: Final = {
    "internal-port-taken": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"server socket has failed to listen on any local network address"
        r"|EADDRINUSE.*(?:TCPStore|rendezvous)|zmq\.error\.ZMQError: Address already in use",
        sample="RuntimeError: The server socket has failed to listen on any local network address. "
        "useIpv6: 0, code: -98, name: EADDRINUSE",
        summary="A port where the server's processes meet is taken by another process.",
        action="Start again: vLLM looks for a free port each time; leave VLLM_PORT out.",
    ),
    "http-port-taken": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"\[Errno 98\].*[Aa]ddress already in use"
        r"|error while attempting to bind on address",
        sample="OSError: [Errno 98] Address already in use",
        summary="Another process listens on port {config.port}.",
        action="Look with `ss -ltnp`, end that process, or choose another --port.",
    ),
    "worker-hung": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"TimeoutError: RPC call to (?P<call>\w+) timed out",
        sample="TimeoutError: RPC call to execute_model timed out.",
        summary="The engine core waited in vain for a worker ({call}): it hangs, or a step took "
        "too long.",
        action="Start it again. Should it return, look for errors of the GPUs (`dmesg | grep -i "
        "xid`) and of NCCL further up; VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS helps only where a step "
        "really takes so long.",
    ),
    "start-too-long": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Timed out waiting for engine core|Did not receive response from front-end process"
        r"|TimeoutError: .*engine (?:core )?(?:to be ready|startup)",
        sample="TimeoutError: Timed out waiting for engine core processes to start.",
        summary="vLLM's processes did not find each other within its own time.",
        action="Raise VLLM_ENGINE_READY_TIMEOUT_S in the environment; weights on a slow disk take "
        "long.",
    ),
    "host-memory-kill": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"[Oo]ut of memory: Killed process \d+ \((?P<name>[^)]{1,40})\)|\boom-kill:"
        r"|\bOOMKilled\b|killed by the OOM killer",
        sample="Memory cgroup out of memory: Killed process 4839 (VLLM::EngineCor)",
        summary="The kernel killed a process of the server for want of the host's memory.",
        action=_MORE_MEMORY,
    ),
    "host-memory-allocation": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes|^MemoryError\b"
        r"|\[Errno 12\] Cannot allocate memory|std::bad_alloc",
        sample="DefaultCPUAllocator: can't allocate memory: you tried to allocate 102400512 bytes.",
        summary="The machine did not give the server more memory.",
        action=_MORE_MEMORY,
    ),
    "crashed-natively": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Fatal Python error: (?P<what>Segmentation fault|Aborted|Illegal instruction"
        r"|Floating[ -]point exception)",
        sample="Fatal Python error: Segmentation fault",
        summary="The server crashed in native code: {what}.",
        action="Read the stack under that line; should it repeat, decode without a draft model, "
        "--no-speculation, and without graphs, `-- --enforce-eager`. An illegal instruction on a "
        "CPU means that it lacks AVX2.",
    ),
}
# What the processes that live say of one that ended.
ECHOES: Final = {
    "host-memory-kill": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"(?:Worker proc (?P<name>\S+)|Engine core proc \S+) died unexpectedly",
        applies=lambda match: match.end.oom_kills > 0,
        summary="The kernel killed a process of the server for want of memory.",
        action=_MORE_MEMORY,
        looks="`died unexpectedly`, and the kernel's count of kills grew",
    ),
    "worker-killed": LogCause(
        retry=Retry.ALWAYS,
        confidence=Confidence.LIKELY,
        pattern=r"Worker proc (?P<name>\S+) died unexpectedly \(exit code: (?P<code>-?\d+)\)",
        applies=_is_killed,
        sample="Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down "
        "executor.",
        summary=_worker_ended,
        action=_NOT_OURS,
    ),
    "worker-lost": LogCause(
        retry=Retry.ONCE_SERVED,
        confidence=Confidence.LIKELY,
        pattern=r"Worker proc (?P<name>\S+) died unexpectedly(?: \(exit code: (?P<code>-?\d+)\))?",
        sample="Worker proc VllmWorker-0 died unexpectedly, shutting down executor.",
        summary=_worker_ended,
        action=_look_above,
        remedy="Look for its last lines, and in `dmesg -T`; decode without a draft model.",
    ),
    "core-lost": LogCause(
        retry=Retry.ALWAYS,
        confidence=Confidence.LIKELY,
        pattern=r"Engine core proc \S+ died unexpectedly|EngineDeadError: EngineCore encountered",
        sample="Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.",
        summary="vLLM's engine core ended without a word.",
        action=_NOT_OURS,
    ),
    "core-not-started": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ONCE_SERVED,
        pattern=r"Engine core initialization failed\. See root cause above\. Failed core "
        r"proc\(s\): \{(?P<codes>[^}]*)\}",
        sample="RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {'EngineCore_DP0': 1}",
        summary="vLLM's engine core did not start, and its own words are not in this output.",
        action="Read the log from its beginning: the first `ERROR` of an EngineCore or a Worker is "
        "the reason. Where there is none, the process was killed: look in `dmesg -T`.",
    ),
}
# Concluded from the way it ended alone.
SILENT: Final = {
    "host-memory-kill": SilentCause(
        retry=Retry.ONCE_SERVED,
        applies=lambda end: end.oom_kills > 0 and end.returncode in {None, -signal.SIGKILL},
        summary="The kernel killed {end.oom_kills} of the processes here for want of memory.",
        action=_MORE_MEMORY,
        looks="SIGKILL, and the kernel's count of kills grew",
    ),
    "killed-from-outside": SilentCause(
        retry=Retry.ALWAYS,
        confidence=Confidence.LIKELY,
        applies=_ended_by(signal.SIGKILL),
        summary="Somebody outside killed the server with SIGKILL.",
        action=_NOT_OURS,
        looks="SIGKILL, and no error in the output",
    ),
    "stopped-from-outside": SilentCause(
        retry=Retry.ALWAYS,
        # It catches what asks it to end, and ends well.
        applies=lambda end: (
            _ended_by(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)(end)
            or (end.served and end.returncode == 0)
        ),
        summary="Somebody outside stopped the server.",
        action="Stop it with `python -m launcher down`, which it is not started again after.",
        looks="exit code 0, SIGTERM, SIGINT or SIGHUP that the launcher did not send",
    ),
    "crashed-natively": SilentCause(
        retry=Retry.ONCE_SERVED,
        applies=_ended_by(
            signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE
        ),
        summary="The server's first process crashed in native code.",
        action="Should it repeat, decode without a draft model, --no-speculation.",
        looks="SIGSEGV, SIGABRT, SIGBUS, SIGILL or SIGFPE",
    ),
}

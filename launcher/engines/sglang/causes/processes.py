"""Ends of the server's processes: ports, time limits, crashes, and signals from outside."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry, ServerEnd, SilentCause
from launcher.engines.sglang.causes.advice import (
    fewer_tokens,
    library_of,
    sglang_option,
    special_options,
)
from launcher.engines.sglang.causes.signs import SIGNS
from launcher.text import decimal_number

_SERVER_ERROR: Final = r"^(?:[\w.]*(?:Error|Exception)|\s*what\(\)): "
_CHILD_ENDED: Final = (
    r"(?:Subprocess (?P<name>\w+) \(pid=\d+\) crashed with exit code "
    r"|Rank (?P<rank>\d+) scheduler died during initialization \(exit code: )"
)
_NOT_OURS: Final = (
    "Look in `dmesg -T` (or at OOMKilled of the container) whether it was the kernel, for want of "
    "the host's memory: then it needs more; else a person or a service manager ended it, and "
    "nothing in the configuration is to blame."
)


def _internal_port(match: LogMatch) -> str:
    port = match["port"] or match["derived"] or match["zmq"]
    which = f"Port {port}" if port else "A port"
    return f"{which}, where the server's processes meet, is taken by {_taken_by(match)}."


def _another_internal_port(match: LogMatch) -> str:
    if sglang_option(match.config, "--nccl-port") is not None:
        return "Choose another --nccl-port, or leave it out."
    if match.config.dist_init_addr is not None:
        return "Choose another port in --dist-init-addr, on each machine."
    if match["derived"]:
        return "Choose another --port: SGLang counts its own ports from it."
    return "Start again: SGLang looks for a free port each time."


def _find_ranks(match: LogMatch) -> str:
    address = match.config.dist_init_addr
    if address:
        return (
            f"See that the server of each machine was started, with the same --dist-init-addr "
            f"{address} and its own --node-rank, and that no firewall closes that port; "
            "--dist-timeout-seconds 1800 waits longer."
        )
    return "Look for a rank that ended or hangs further up; `-- --dist-timeout 1800` waits longer."


def _taken_by(match: LogMatch) -> str:
    """Who holds the port, where SGLang says it."""
    found = re.search(r"process\.name\(\)='(?P<name>[^']+)'", match.found.string)
    pid = re.search(r"pid=(?P<pid>\d+)", match.found.string)
    if found is None:
        return "another one"
    return f"{found['name']}" + (f" (process {pid['pid']})" if pid else "")


def _watchdog(match: LogMatch) -> str:
    who = (match["who"] or "scheduler").strip().lower()
    return (
        f"SGLang's own watchdog saw no progress of the {who} for "
        f"{decimal_number(match['seconds']):g} s and "
        "ended the server."
    )


def _longer_watchdog(match: LogMatch) -> str:
    doubled = max(600, round(2 * decimal_number(match["seconds"])))
    if match.end.served:
        special = special_options(match.config)
        leave = f"leave out {special}, and " if special else ""
        return (
            "Start it again; the stacks above say where it hung. Should it return, "
            f"{leave}look for errors of the GPUs (`dmesg | grep -i xid`); `-- --watchdog-timeout "
            f"{doubled}` helps only where a step really takes so long."
        )
    return (
        f"If kernels were being compiled then, `-- --watchdog-timeout {doubled}`; else the server "
        "hung, and the stacks above say where."
    )


def _crashed_in(match: LogMatch) -> str:
    """The innermost frames below "Fatal Python error", as faulthandler prints them."""
    below = match.end.lines[match.index + 1 : match.index + 9]
    return " ".join(line for line in below if line.lstrip().startswith('File "'))


def _native_crash(match: LogMatch) -> str:
    found = library_of(_crashed_in(match))
    where = f", in {found[0]}" if found else ""
    return f"The server crashed in native code{where}: {match['what']}."


def _after_native_crash(match: LogMatch) -> str:
    found = library_of(_crashed_in(match))
    if found is not None:
        return f"Start again; should it repeat, {found[1]}, which goes round that library."
    return (
        "Read the stack under that line; should it repeat, decode without a draft model, "
        "--no-speculation."
    )


def _process(match: LogMatch) -> str:
    """The 'scheduler of rank 1' that ended."""
    name = match["name"] or f"scheduler_{match['rank'] or 0}"
    kind, _, rank = name.partition("_")
    return f"{kind} of rank {rank}" if rank else kind


def _other_machine(match: LogMatch) -> str:
    """The address of a rank on another machine, or ''."""
    found = re.search(r"by peer \[?(?P<address>[\d.]+)\]?", match.found.string)
    address = found["address"] if found else ""
    return "" if address.startswith("127.") else address


def _lost_rank(match: LogMatch) -> str:
    where = f" on {address}" if (address := _other_machine(match)) else ""
    return (
        f"One of the ranks{where} ended without a word, and the others lost their connection to it."
    )


def _look_for_rank(match: LogMatch) -> str:
    if address := _other_machine(match):
        return f"Read the log of the server on {address}: the cause stands there; then start both."
    return (
        "Look for it in `dmesg -T`; a rank that the kernel kills for want of memory says nothing."
    )


def _more_memory(sign: LogMatch | ServerEnd) -> str:
    return (
        "Raise the memory limit of the container or service, stop other programs, or lower "
        f"{fewer_tokens(sign.config)}."
    )


def _signal_name(end: ServerEnd) -> str:
    return signal.Signals(-(end.returncode or 0)).name


def _ended_by(*numbers: signal.Signals) -> Callable[[ServerEnd], bool]:
    return lambda end: end.returncode in {-number for number in numbers}


def _killed_from_outside(end: ServerEnd) -> bool:
    """Whether it was a SIGKILL, and not SGLang's own one for its tree, which looks the same."""
    ended_itself = any(SIGNS.ends.search(line) for line in end.lines)
    return end.returncode == -signal.SIGKILL and not ended_itself


ERRORS: Final = {
    "host-address": LogCause(
        pattern=r"error while attempting to bind on address \('(?P<host>[^']*)', \d+\): "
        r"(?:\[Errno 99\] )?cannot assign requested address",
        sample="error while attempting to bind on address ('192.168.7.20', 30000): cannot assign "
        "requested address",
        summary="The address {host} is none of this machine's or container's.",
        action="Take --host 0.0.0.0 with a key, 127.0.0.1, or an address that `ip address` shows.",
    ),
    "unresponsive": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"SIGTERM received while health check failed",
        sample="Signal SIGTERM received while health check failed. Force exiting.",
        summary="The server did not answer its health checks any more, and was then stopped from "
        "outside.",
        action="Start it again; look what held it up (a very long prompt, a hung kernel, too few "
        "processors). A probe that has to wait for a token needs a longer limit: "
        "SGLANG_HEALTH_CHECK_TIMEOUT and the probe's own.",
    ),
    "http-port-taken": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"error while attempting to bind on address \('[^']*', (?P<port>\d+)",
        sample="error while attempting to bind on address ('::1', 21001): address already in use",
        applies=lambda match: "assign requested address" not in match.found.string,
        summary="Somebody else took port {port} while the model was loaded.",
        action="Stop that process (`ss -ltnp 'sport = :{port}'`), or choose another --port.",
    ),
    "internal-port-taken": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"port: (?P<port>\d+), .*EADDRINUSE|EADDRINUSE"
        rf"|{_SERVER_ERROR}\w+ at (?P<derived>\d+) is not available in \d+ seconds"
        r"|ZMQError: Address already in use(?: \(addr='[^']*:(?P<zmq>\d+)'\))?",
        sample="ValueError: dist_init_port at 21234 is not available in 13 seconds.\n"
        "DistNetworkError: port: 21100, code: -98, name: EADDRINUSE\n"
        "zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:21101')",
        summary=_internal_port,
        action=_another_internal_port,
        remedy="Start again, or choose another `--nccl-port`.",
    ),
    "rendezvous-timeout": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"(?:DistStoreError|DistNetworkError|TimeoutError|RuntimeError): .*"
        r"(?:[Tt]imed out after \d+ seconds|client socket has timed out|Timed out waiting)"
        r"|wait timeout after \d+ms",
        sample="DistStoreError: Timed out after 9 seconds waiting for clients. 1/2 clients joined.",
        summary="The ranks did not find each other in time.",
        action=_find_ranks,
        remedy="Look for a rank that ended or hangs; start the other machine's server; "
        "`--dist-timeout 1800` waits longer.",
    ),
    "watchdog-timeout": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"(?P<who>\b\w{1,40} |)[Ww]atchdog timeout "
        r"\(self\.watchdog_timeout=(?P<seconds>[\d.]+), self\.soft=False\)",
        sample="Scheduler watchdog timeout (self.watchdog_timeout=300, self.soft=False)",
        summary=_watchdog,
        action=_longer_watchdog,
        remedy="**Raise** `--watchdog-timeout` if kernels were compiling.",
    ),
    "crashed-natively": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Fatal Python error: (?P<what>Segmentation fault|Aborted|Illegal instruction"
        r"|Floating[ -]point exception)",
        sample="Fatal Python error: Segmentation fault",
        summary=_native_crash,
        action=_after_native_crash,
        remedy="Read the stack under that line; go round the library that it names, or decode "
        "without a draft model.",
    ),
}

# What the server's first process says of a child that said nothing itself.
ECHOES: Final = {
    "host-memory-kill": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=rf"{_CHILD_ENDED}-9\b",
        applies=lambda match: match.end.oom_kills > 0,
        summary=lambda match: f"The kernel killed the {_process(match)} for want of memory.",
        action=_more_memory,
        looks="a child's `exit code -9`, and the kernel's count of kills grew",
        remedy="Take more memory, or **lower** `--max-total-tokens`.",
    ),
    "worker-killed": LogCause(
        retry=Retry.ALWAYS,
        pattern=rf"{_CHILD_ENDED}-(?:9|15)\b",
        sample="Subprocess scheduler_0 (pid=14999) crashed with exit code -9. Triggering SIGQUIT",
        confidence=Confidence.LIKELY,
        summary=lambda match: f"Somebody outside killed the {_process(match)} with a signal.",
        action=_NOT_OURS,
        looks="`Subprocess scheduler_0 … crashed with exit code -9`, and no other word",
    ),
    "worker-crashed": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=rf"{_CHILD_ENDED}-(?P<signal>\d+)\b",
        sample="Subprocess scheduler_0 (pid=6610) crashed with exit code -11. Triggering SIGQUIT",
        summary=lambda match: (
            f"The {_process(match)} crashed in native code (signal {match['signal']})."
        ),
        action="Look for `Fatal Python error` and its stack further up; should it repeat, decode "
        "without a draft model, --no-speculation.",
    ),
    "rank-lost": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"^[\w.]*Error: .*(?:Connection (?:closed|reset) by peer"
        r"|remote process exited or there was a network error)",
        sample="RuntimeError: Connection closed by peer [127.0.0.1]:14261.\n"
        "DistBackendError: remote process exited or there was a network error",
        summary=_lost_rank,
        action=_look_for_rank,
        remedy="Look for it in `dmesg -T`, or in the log of the other machine.",
    ),
}

# Concluded from the way it ended alone.
SILENT: Final = {
    "host-memory-kill": SilentCause(
        retry=Retry.ONCE_SERVED,
        # A rank that lost another may have said something first, and its tree be killed for it.
        applies=lambda end: end.oom_kills > 0 and end.returncode in {None, -signal.SIGKILL},
        summary="The kernel killed {end.oom_kills} of the processes here for want of memory.",
        action=_more_memory,
        looks="SIGKILL, and the kernel's count of kills grew",
        remedy="Take more memory, or **lower** `--max-total-tokens`.",
    ),
    "killed-from-outside": SilentCause(
        retry=Retry.ALWAYS,
        confidence=Confidence.LIKELY,
        applies=_killed_from_outside,
        summary="Somebody outside killed the server with SIGKILL.",
        action=_NOT_OURS,
        looks="SIGKILL, and no error in the output",
    ),
    "stopped-from-outside": SilentCause(
        retry=Retry.ALWAYS,
        applies=_ended_by(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
        summary=lambda end: f"Somebody outside stopped the server with {_signal_name(end)}.",
        action="Stop it with `python -m launcher down`, which it is not started again after.",
        looks="SIGTERM, SIGINT or SIGHUP that the launcher did not send",
    ),
    "crashed-natively": SilentCause(
        retry=Retry.ONCE_SERVED,
        applies=_ended_by(
            signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE
        ),
        summary=lambda end: (
            f"The server's first process crashed in native code ({_signal_name(end)})."
        ),
        action="Should it repeat, decode without a draft model, --no-speculation.",
        looks="SIGSEGV, SIGABRT, SIGBUS, SIGILL or SIGFPE",
    ),
}

"""GPUs that do not find or understand each other: NCCL, Gloo, custom all-reduce, DeepEP.

NCCL's own exception says little; its reason stands behind "Last error" or in lines of NCCL WARN.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry
from launcher.text import whole_number

_MANY_COLLECTIVES: Final = 2_000
_REASON: Final = re.compile(r"\bNCCL WARN (?P<warned>.{1,200})")
_UNREACHABLE_ACTION: Final = (
    "Name the interface that joins the machines: GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME (`lo` "
    "where all ranks are on one machine), and see that this host's name leads to its own address "
    "in /etc/hosts."
)


def _collective_timeout(match: LogMatch) -> str:
    seconds = whole_number(match["milliseconds"]) / 1000
    return f"The ranks waited {seconds:.0f} s for each other in {match['operation']}."


def _after_timeout(match: LogMatch) -> str:
    look = "Look in the log for the rank that fell behind; with NCCL_DEBUG=INFO it says where."
    # After many of them the links do work.
    if match.end.served or whole_number(match["number"]) > _MANY_COLLECTIVES:
        return f"{look} A GPU's fault shows in `dmesg | grep -i xid`; then start again."
    return (
        "The GPUs may not reach each other: try NCCL_P2P_DISABLE=1, or `-- "
        f"--disable-custom-all-reduce` (an IOMMU or ACS in the way is the usual reason). {look}"
    )


def _nccl_reason(match: LogMatch) -> str:
    """What NCCL says below its exception or in its warnings, or ''."""
    _, _, behind = match.text.partition("Last error:")
    if behind.strip():
        return behind.strip().split("\n")[0].strip()
    for line in match.end.lines:
        if found := _REASON.search(line):
            return found["warned"].strip()
    return ""


def _nccl(match: LogMatch) -> str:
    what = match["what"].strip().rstrip(".,")
    reason = _nccl_reason(match)
    said = f" ({reason.rstrip('.')})" if reason else ""
    return f"NCCL, which joins the GPUs, failed: {what}{said}."


def _custom_all_reduce(match: LogMatch) -> bool:
    error = match.error
    return error is not None or "error" in match.found.string.lower()


ERRORS: Final = {
    "nccl-timeout": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Watchdog caught collective operation timeout: .*?"
        r"(?:SeqNum=(?P<number>\d+).*?)?OpType=(?P<operation>\w+)"
        r".*?ran for (?P<milliseconds>\d+) milliseconds",
        sample="[Rank 5] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9141, "
        "OpType=_ALLGATHER_BASE, Timeout(ms)=600000) ran for 600020 milliseconds",
        summary=_collective_timeout,
        action=_after_timeout,
        remedy="Look for the rank that fell behind; during a start, go round the links between the "
        "GPUs: NCCL_P2P_DISABLE=1, `--disable-custom-all-reduce`.",
    ),
    "nccl-infiniband": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"ibv_(?:create_cq|reg_mr|create_qp|modify_qp|open_device|reg_dmabuf)\w*"
        r".*(?:fail|error|Cannot allocate)|NET/IB ?:? .*(?:fail|error)",
        sample="Call to ibv_reg_mr failed with error Cannot allocate memory",
        summary="NCCL cannot use InfiniBand here.",
        action="Let the server lock memory (`ulimit -l unlimited`, `docker run --ulimit "
        "memlock=-1`) and see its devices (/dev/infiniband); between machines name the cards and "
        "the address to use, NCCL_IB_HCA and NCCL_IB_GID_INDEX (3 as a rule for RoCE v2). "
        "NCCL_IB_DISABLE=1 goes without.",
    ),
    "nccl-versions": LogCause(
        pattern=r"Mismatched NCCL version detected|NCCL version mismatch",
        sample="Mismatched NCCL version detected : rank 1 has 2.27.3, rank 0 has 2.28.3",
        summary="The ranks run different versions of NCCL.",
        action="Install the same torch and nvidia-nccl on all machines, and take LD_LIBRARY_PATH "
        "and LD_PRELOAD of another NCCL away.",
    ),
    "nccl-network": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ONCE_SERVED,
        pattern=r"no socket interface found|socketStart\w+: Connect to|socketPollConnect"
        r"|NET/Socket ?:? .*(?:fail|error|refused|No route)"
        r"|Bootstrap ?: .*(?:no |fail)|socket\w*: .*(?:No route to host|Connection refused)",
        sample="Bootstrap : no socket interface found\n"
        "socketStartConnect: Connect to 10.0.0.7<41243> failed : No route to host",
        summary="NCCL's ranks do not reach each other over the network interface that it chose.",
        action=_UNREACHABLE_ACTION,
    ),
    "gloo-unreachable": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Gloo connectFullMesh failed|makeDeviceForHostname|makeDeviceForInterface"
        r"|Unable to find (?:address|interface) for|gloo/transport/tcp.*(?:[Cc]onnect|refused)"
        r"|unable to resolve hostname",
        applies=lambda match: "closed by peer" not in match.found.string,
        sample="RuntimeError: Gloo connectFullMesh failed with [transport/tcp/pair.cc:144] no "
        "error",
        summary="The ranks do not reach each other (Gloo) over the interface that this host's name "
        "leads to.",
        action=_UNREACHABLE_ACTION,
    ),
    "custom-all-reduce": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"custom_all_?reduce\S*.*(?:error|fail|invalid|not supported)"
        r"|^[\w.]*(?:Error|Exception): .*(?:peer access is not supported|cudaIpc\w+|CUDA IPC)",
        applies=_custom_all_reduce,
        sample="Exception: Capture cuda graph failed: Runtime check failed at "
        "custom_all_reduce.cuh:40: CUDA error: invalid argument",
        summary="The custom all-reduce cannot share memory between these GPUs.",
        action="Leave it out: `-- --disable-custom-all-reduce`; NCCL does its work then.",
    ),
}

# What a rank says of another one.
ECHOES: Final = {
    "nccl-failure": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"NCCL error(?: in)?: (?:\S+:\d+, )?"
        r"(?P<what>(?:unhandled|internal|invalid)[\w ]*)",
        sample="RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO)",
        summary=_nccl,
        action="Start once more with NCCL_DEBUG=WARN for its reason; NCCL_P2P_DISABLE=1 goes round "
        "a broken link between GPUs.",
        looks="`NCCL error: unhandled system error`, and nothing else",
    ),
}

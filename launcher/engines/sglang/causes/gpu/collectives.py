"""GPUs that do not find or understand each other, where SGLang's own options help: NVLS, DeepEP.

The rest is any engine's: `launcher.engines.common.causes.collectives`.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import Confidence, LogCause, Retry
from launcher.engines.common.causes import collectives

_OF_ANY: Final = collectives.ERRORS
ERRORS: Final = {
    "nccl-timeout": _OF_ANY["nccl-timeout"],
    "nccl-nvls": LogCause(
        pattern=r"(?:NVLink SHARP|NVLS|[Mm]ulticast)\b.*(?:[Ff]ail|[Ee]rror|not )"
        r"|(?:[Ff]ailed|[Uu]nable) to .*(?:NVLink SHARP|NVLS|[Mm]ulticast)|cuMulticast\w+",
        sample="Failed to bind NVLink SHARP (NVLS) Multicast memory of size 4194304 : CUDA error "
        "401",
        summary="NCCL cannot use NVLink SHARP (NVLS multicast) on this machine.",
        action="Set NCCL_NVLS_ENABLE=0; restarting the fabric manager (`systemctl restart "
        "nvidia-fabricmanager`) may bring NVLS back. `-- --enable-nccl-nvls` has to be left out.",
    ),
    "nccl-duplicate-gpu": LogCause(
        pattern=r"Duplicate GPU detected ?: rank (?P<one>\d+) and rank (?P<other>\d+)",
        sample="Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 65000",
        summary="Ranks {one} and {other} were given the same GPU.",
        action="Give each rank a GPU of its own: look at CUDA_VISIBLE_DEVICES, `-- --base-gpu-id` "
        "and, with several machines, --node-rank.",
    ),
    "nccl-infiniband": _OF_ANY["nccl-infiniband"],
    "nccl-versions": _OF_ANY["nccl-versions"],
    "nccl-memory": LogCause(
        pattern=r"(?:Cuda|CUDA) (?:failure|error) (?:2 )?'out of memory'",
        sample="Cuda failure 2 'out of memory'",
        summary="NCCL found no GPU memory for its buffers.",
        action="Lower --mem-fraction-static by 0.05, and look with `nvidia-smi` whether somebody "
        "else holds memory of that GPU.",
    ),
    "nccl-network": _OF_ANY["nccl-network"],
    "gloo-unreachable": _OF_ANY["gloo-unreachable"],
    "rendezvous-unreachable": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"client socket has (?:failed to connect to|timed out after \d+ms while trying to "
        r"connect to) (?:any network address of )?\(?(?P<address>[\w.:-]+)",
        sample="DistNetworkError: The client socket has failed to connect to any network address "
        "of (10.0.0.5, 20000)",
        summary="A rank does not reach the address where the ranks meet, {address}.",
        action="See that the first machine's server runs, that --dist-init-addr names it the "
        "same everywhere, and that no firewall is in between.",
    ),
    "custom-all-reduce": _OF_ANY["custom-all-reduce"],
    "deepep": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ONCE_SERVED,
        pattern=r"Peer GPU \d+ is not accessible|building transport map failed|nvshmem\w*:\d+: "
        r"(?:non-zero|neither)|DeepEP (?:error|timeout)"
        r"|(?:nvshmem|NVSHMEM).*(?:fail|error|abort|unable)|deep_ep.*(?:timeout|failed)",
        sample="RuntimeError: DeepEP error: timeout (dispatch CPU)",
        summary="DeepEP, which exchanges experts' tokens between GPUs, failed.",
        action="Look at the other ranks' and machines' logs first: one that ended makes it time "
        "out, and then start again. Else see to what it needs (NVLink or RDMA with GPUDirect, "
        "nvidia_peermem, IBGDA, the NVSHMEM that fits it), or leave it out, `-- --moe-a2a-backend "
        "none`.",
    ),
}
ECHOES: Final = collectives.ECHOES

"""Probes of the machine: processors, memory, disks, the port."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from launcher.config.ranks import ranks_of
from launcher.doctor.probes import Row, dotted, probe
from launcher.doctor.readers import Readers, running_servers
from launcher.doctor.target import ServingTarget, missing_bytes
from launcher.errors import InvalidValueError, LauncherError, PortInUseError
from launcher.memory.host import engine_host_bytes
from launcher.models.store import hub_cache
from launcher.preflight.checks import host_bytes_needed
from launcher.state.paths import servers_root
from launcher.system.hardware import GIB, MIB, read_cpu_model
from launcher.system.ports import check_port_is_free
from launcher.text import human_bytes, short_path

LEAST_GLIBC: Final = (2, 34)
# Ours: what compilers and torch leave in the folder for temporary files while they run.
TEMPORARY_BYTES: Final = 1 * GIB
STATE_LEAST_BYTES: Final = 16 * MIB
_probe = partial(probe, "host")


@_probe(
    "system",
    amber=f"not x86-64, or glibc older than {dotted(LEAST_GLIBC)}",
    red="not Linux",
    remedy="a Linux machine, a newer distribution",
    source="README, Start",
)
def _system(_: ServingTarget, __: Readers) -> Row:
    name, libc = platform.system(), platform.libc_ver()
    measured = f"{name} {platform.release()}, {platform.machine()}, {' '.join(libc).strip()}"
    wanted = f"Linux, x86_64, glibc {dotted(LEAST_GLIBC)} or newer"
    if sys.platform != "linux":
        action = "Serve on a Linux machine, and use the client here: SPECSERVE_BASE_URL."
        return Row("system", "red", measured, wanted, action)
    is_old = libc[0] != "glibc" or tuple(map(int, libc[1].split(".")[:2])) < LEAST_GLIBC
    is_other = is_old or platform.machine() != "x86_64"
    action = "Use a newer distribution, or a container: nothing else was tried."
    return Row.judged("system", measured, wanted, amber=is_other, action=action)


@_probe(
    "cpu",
    amber="a server on the CPU, and no AVX2",
    remedy="a newer CPU",
    source="torch's CPU kernels: AVX2, AVX-512 and AMX, whichever is there",
)
def _cpu(target: ServingTarget, readers: Readers) -> Row:
    flags = readers.flags()
    features = {
        "AVX2": "avx2" in flags,
        "AVX-512": "avx512f" in flags,
        "AVX-512 BF16": "avx512_bf16" in flags,
        "AMX": "amx_tile" in flags,
    }
    here = [name for name, there in features.items() if there]
    lacking = [name for name, there in features.items() if not there]
    measured = f"{read_cpu_model()}: {', '.join(here) or 'none of them'}"
    if lacking and here:
        measured += f"; no {', '.join(lacking)}"
    return Row.judged(
        "CPU",
        measured,
        "nothing: the model runs on GPUs" if target.on_gpu else "AVX2",
        amber=not target.on_gpu and not features["AVX2"],
        action="Use a newer CPU: this one will be slow.",
    )


@_probe(
    "cores",
    amber="the cgroup's quota is less than the cores that are seen, or there are fewer than ranks "
    "on the CPU",
    remedy="cores instead of a quota; lower `--tp-size`",
    source="sched_getaffinity(2); cgroup `cpu.max`",
)
def _cores(target: ServingTarget, readers: Readers) -> Row:
    usable, quota = len(target.hardware.cpus), readers.quota()
    measured = f"{usable} of {os.cpu_count() or usable} usable"
    ranks = ranks_of(target.config).count_here
    wanted = f"{ranks} or more, one a rank" if ranks > 1 else "1 or more"
    if quota is not None:
        measured += f", quota of {quota:g}"
        if quota < usable:
            action = "Pin the container to cores (`--cpuset-cpus`) rather than by a quota."
            return Row("cores", "amber", f"{measured}: threads will wait", wanted, action)
    action = "Give it more cores, or lower --tp-size."
    return Row.judged("cores", measured, wanted, amber=usable < ranks, action=action)


@_probe(
    "memory",
    amber="a server on GPUs, and less available than the engine takes on a CPU",
    red="a server on the CPU, and less available than it needs",
    remedy="stop other programs; lower `--max-total-tokens` or `--tp-size`",
    source="`launcher.memory.host`, which `up` asks as well",
)
def _memory(target: ServingTarget, readers: Readers) -> Row:
    available = target.hardware.available_memory_bytes
    limit = readers.memory_limit_bytes()
    total = psutil.virtual_memory().total
    measured = f"{human_bytes(available)} available of {human_bytes(limit or total)}"
    if limit is not None:
        measured += " (the cgroup's limit)"
    needed = engine_host_bytes()
    if not target.on_gpu:
        # A model that is not whole has a row of its own.
        with contextlib.suppress(LauncherError):
            files_bytes = target.model.weights_bytes if target.model is not None else 0
            needed = host_bytes_needed(target, files_bytes)
    return Row.judged(
        "memory",
        measured,
        f"{human_bytes(needed)} for {target.config.served_model_name}",
        # On GPUs `up` does not refuse it: what the engine takes there was not measured.
        red=available < needed and not target.on_gpu,
        amber=available < needed,
        action="Stop other programs, or lower --max-total-tokens or --tp-size.",
    )


@_probe(
    "swap",
    amber="more than half of it is used",
    remedy="stop what fills the memory",
    source="ours: a model that is swapped out does not serve",
)
def _swap(_: ServingTarget, __: Readers) -> Row:
    swap = psutil.swap_memory()
    return Row.judged(
        "swap",
        f"{human_bytes(swap.used)} of {human_bytes(swap.total)} used" if swap.total else "none",
        "none, or unused",
        amber=swap.used > swap.total / 2,
        action="Stop what fills the memory: a model that is swapped out does not serve.",
    )


@_probe(
    "disk-models",
    red="less free than is still to be downloaded",
    remedy="free space, or HF_HUB_CACHE",
    source="`launcher.doctor.target.missing_bytes`, by the model's shape",
)
def _models_disk(target: ServingTarget, readers: Readers) -> Row:
    cache = hub_cache()
    free = readers.free_disk_bytes(cache)
    missing = missing_bytes(target.config) if target.config.is_repository else 0
    wanted = "nothing to download"
    if missing is None:
        wanted = "the model's size, which is not known yet"
    elif missing:
        wanted = f"{human_bytes(missing)} to download"
    measured = f"{human_bytes(free)} free, {short_path(cache)}"
    action = "Free space, or set HF_HUB_CACHE to a larger disk."
    return Row.judged("model cache", measured, wanted, red=free < (missing or 0), action=action)


@_probe(
    "disk-state",
    amber="less free than the rotated logs may take",
    red=f"less than {human_bytes(STATE_LEAST_BYTES)} free",
    remedy="free space, `--log-rotate-mib`, or XDG_STATE_HOME",
    source="`log_rotate_mib` x (`log_keep_files` + 1)",
)
def _state_disk(target: ServingTarget, readers: Readers) -> Row:
    root = servers_root()
    free = readers.free_disk_bytes(root)
    logs = target.config.log_rotate_mib * (target.config.log_keep_files + 1) * MIB
    return Row.judged(
        "state folder",
        f"{human_bytes(free)} free, {short_path(root)}",
        f"{human_bytes(logs)} for logs",
        red=free < min(logs, STATE_LEAST_BYTES),
        amber=free < logs,
        action="Free space, lower --log-rotate-mib, or set XDG_STATE_HOME to another disk.",
    )


@_probe(
    "disk-temporary",
    amber=f"less than {human_bytes(TEMPORARY_BYTES)} free",
    remedy="free space, or TMPDIR",
    source="ours",
)
def _temporary_disk(_: ServingTarget, readers: Readers) -> Row:
    folder = Path(tempfile.gettempdir())
    free = readers.free_disk_bytes(folder)
    return Row.judged(
        "temporary files",
        f"{human_bytes(free)} free, {folder}",
        human_bytes(TEMPORARY_BYTES),
        amber=free < TEMPORARY_BYTES,
        action="Free space, or set TMPDIR to another disk.",
    )


@_probe(
    "port",
    red="another program listens there; green where it is our own server",
    remedy="stop that program, or `--port`",
    source="`launcher.system.ports.check_port_is_free`, which `up` asks as well",
)
def _port(target: ServingTarget, _: Readers) -> Row:
    config = target.config
    subject, wanted = f"port {config.port}", f"free on {config.host}"
    try:
        check_port_is_free(config.host, config.port)
    except (PortInUseError, InvalidValueError) as error:
        for name, record in running_servers():
            if int(record.base_url.rpartition(":")[2]) == config.port:
                return Row(subject, "green", f"our server {name!r} listens", wanted)
        return Row(subject, "red", error.problem, wanted, error.action)
    return Row(subject, "green", "free", wanted)


PROBES: Final = (
    *(_system, _cpu, _cores, _memory, _swap),
    *(_models_disk, _state_disk, _temporary_disk, _port),
)

"""Probes of the machine: processors, memory, disks, the port."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from launcher.doctor.needs import Needs, missing_bytes
from launcher.doctor.probes import Probe, Row, Status
from launcher.doctor.readers import Readers
from launcher.errors import InvalidValueError, LauncherError, PortInUseError, StateError
from launcher.models.folder import check_model_folder
from launcher.models.store import hub_cache
from launcher.preflight.checks import ENGINE_HOST_BYTES, host_bytes_needed
from launcher.state.paths import servers_root
from launcher.state.store import list_stores
from launcher.system.hardware import GIB, MIB, read_cpu_model
from launcher.system.ports import check_port_is_free
from launcher.text import human_bytes, short_path

LEAST_GLIBC: Final = (2, 34)
# Ours: what compilers and torch leave in the folder for temporary files while they run.
TEMPORARY_BYTES: Final = 1 * GIB
STATE_LEAST_BYTES: Final = 16 * MIB


def host_probes(needs: Needs, readers: Readers) -> tuple[Probe, ...]:
    """The probes of the group host."""
    return (
        Probe(
            "system",
            "host",
            lambda: [_system()],
            amber=f"not x86-64, or glibc older than {_dotted(LEAST_GLIBC)}",
            red="not Linux",
            remedy="a Linux machine, a newer distribution",
            source="README, Start",
        ),
        Probe(
            "cpu",
            "host",
            lambda: [_cpu(needs, readers)],
            amber="a server on the CPU, and no AVX2",
            remedy="a newer CPU",
            source="torch's CPU kernels: AVX2, AVX-512 and AMX, whichever is there",
        ),
        Probe(
            "cores",
            "host",
            lambda: [_cores(needs, readers)],
            amber="the cgroup's quota is less than the cores that are seen, or there are fewer "
            "than ranks on the CPU",
            remedy="cores instead of a quota; lower `--tp-size`",
            source="sched_getaffinity(2); cgroup `cpu.max`",
        ),
        Probe(
            "memory",
            "host",
            lambda: [_memory(needs, readers)],
            amber="a server on GPUs, and less available than the engine takes on a CPU",
            red="a server on the CPU, and less available than it needs",
            remedy="stop other programs; lower `--max-total-tokens` or `--tp-size`",
            source="`launcher.preflight.checks.host_bytes_needed`, which `up` asks as well",
        ),
        Probe(
            "swap",
            "host",
            lambda: [_swap()],
            amber="more than half of it is used",
            remedy="stop what fills the memory",
            source="ours: a model that is swapped out does not serve",
        ),
        Probe(
            "disk-models",
            "host",
            lambda: [_models_disk(needs, readers)],
            red="less free than is still to be downloaded",
            remedy="free space, or HF_HUB_CACHE",
            source="`launcher.doctor.needs.missing_bytes`, by the model's shape",
        ),
        Probe(
            "disk-state",
            "host",
            lambda: [_state_disk(needs, readers)],
            amber="less free than the rotated logs may take",
            red=f"less than {human_bytes(STATE_LEAST_BYTES)} free",
            remedy="free space, `--log-rotate-mib`, or XDG_STATE_HOME",
            source="`log_rotate_mib` x (`log_keep_files` + 1)",
        ),
        Probe(
            "disk-temporary",
            "host",
            lambda: [_temporary_disk(readers)],
            amber=f"less than {human_bytes(TEMPORARY_BYTES)} free",
            remedy="free space, or TMPDIR",
            source="ours",
        ),
        Probe(
            "port",
            "host",
            lambda: [_port(needs)],
            red="another program listens there; green where it is our own server",
            remedy="stop that program, or `--port`",
            source="`launcher.system.ports.check_port_is_free`, which `up` asks as well",
        ),
    )


def _system() -> Row:
    name, libc = platform.system(), platform.libc_ver()
    measured = f"{name} {platform.release()}, {platform.machine()}, {' '.join(libc).strip()}"
    wanted = f"Linux, x86_64, glibc {_dotted(LEAST_GLIBC)} or newer"
    if sys.platform != "linux":
        action = "Serve on a Linux machine, and use the client here: SPECSERVE_BASE_URL."
        return Row("system", "red", measured, wanted, action)
    old = libc[0] != "glibc" or tuple(map(int, libc[1].split(".")[:2])) < LEAST_GLIBC
    if old or platform.machine() != "x86_64":
        action = "Use a newer distribution, or a container: nothing else was tried."
        return Row("system", "amber", measured, wanted, action)
    return Row("system", "green", measured, wanted)


def _cpu(needs: Needs, readers: Readers) -> Row:
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
    if needs.on_gpu:
        return Row("CPU", "green", measured, "nothing: the model runs on GPUs")
    if not features["AVX2"]:
        return Row("CPU", "amber", measured, "AVX2", "Use a newer CPU: this one will be slow.")
    return Row("CPU", "green", measured, "AVX2")


def _cores(needs: Needs, readers: Readers) -> Row:
    usable, quota = len(needs.hardware.cpus), readers.quota()
    measured = f"{usable} of {os.cpu_count() or usable} usable"
    ranks = needs.config.tp_size
    wanted = f"{ranks} or more, one a rank" if ranks > 1 else "1 or more"
    if quota is not None:
        measured += f", quota of {quota:g}"
        if quota < usable:
            action = "Pin the container to cores (`--cpuset-cpus`) rather than by a quota."
            return Row("cores", "amber", f"{measured}: threads will wait", wanted, action)
    if usable < ranks:
        action = "Give it more cores, or lower --tp-size."
        return Row("cores", "amber", measured, wanted, action)
    return Row("cores", "green", measured, wanted)


def _memory(needs: Needs, readers: Readers) -> Row:
    available = needs.hardware.available_memory_bytes
    limit = readers.memory_limit_bytes()
    total = psutil.virtual_memory().total
    measured = f"{human_bytes(available)} available of {human_bytes(limit or total)}"
    if limit is not None:
        measured += " (the cgroup's limit)"
    needed = ENGINE_HOST_BYTES
    if not needs.on_gpu and needs.folder is not None:
        # A model that is not whole has a row of its own.
        with contextlib.suppress(LauncherError):
            needed = host_bytes_needed(needs.config, check_model_folder(needs.folder))
    wanted = f"{human_bytes(needed)} for {needs.config.served_model_name}"
    if available < needed:
        # On GPUs `up` does not refuse it: what the engine takes there was not measured.
        status: Status = "amber" if needs.on_gpu else "red"
        action = "Stop other programs, or lower --max-total-tokens or --tp-size."
        return Row("memory", status, measured, wanted, action)
    return Row("memory", "green", measured, wanted)


def _swap() -> Row:
    swap = psutil.swap_memory()
    if not swap.total:
        return Row("swap", "green", "none", "none, or unused")
    measured = f"{human_bytes(swap.used)} of {human_bytes(swap.total)} used"
    if swap.used > swap.total / 2:
        action = "Stop what fills the memory: a model that is swapped out does not serve."
        return Row("swap", "amber", measured, "none, or unused", action)
    return Row("swap", "green", measured, "none, or unused")


def _models_disk(needs: Needs, readers: Readers) -> Row:
    cache = hub_cache()
    free = readers.free_disk_bytes(cache)
    missing = missing_bytes(needs.config) if needs.config.is_repository else 0
    measured = f"{human_bytes(free)} free, {short_path(cache)}"
    if missing is None:
        return Row("model cache", "green", measured, "the model's size, which is not known yet")
    wanted = f"{human_bytes(missing)} to download" if missing else "nothing to download"
    if free < missing:
        action = "Free space, or set HF_HUB_CACHE to a larger disk."
        return Row("model cache", "red", measured, wanted, action)
    return Row("model cache", "green", measured, wanted)


def _state_disk(needs: Needs, readers: Readers) -> Row:
    root = servers_root()
    free = readers.free_disk_bytes(root)
    logs = needs.config.log_rotate_mib * (needs.config.log_keep_files + 1) * MIB
    measured = f"{human_bytes(free)} free, {short_path(root)}"
    wanted = f"{human_bytes(logs)} for logs"
    if free >= logs:
        return Row("state folder", "green", measured, wanted)
    status: Status = "red" if free < STATE_LEAST_BYTES else "amber"
    action = "Free space, lower --log-rotate-mib, or set XDG_STATE_HOME to another disk."
    return Row("state folder", status, measured, wanted, action)


def _temporary_disk(readers: Readers) -> Row:
    folder = Path(tempfile.gettempdir())
    free = readers.free_disk_bytes(folder)
    measured, wanted = f"{human_bytes(free)} free, {folder}", human_bytes(TEMPORARY_BYTES)
    if free < TEMPORARY_BYTES:
        action = "Free space, or set TMPDIR to another disk."
        return Row("temporary files", "amber", measured, wanted, action)
    return Row("temporary files", "green", measured, wanted)


def _port(needs: Needs) -> Row:
    config = needs.config
    subject, wanted = f"port {config.port}", f"free on {config.host}"
    try:
        check_port_is_free(config.host, config.port)
    except (PortInUseError, InvalidValueError) as error:
        ours = [name for name, port in _our_ports() if port == config.port]
        if ours:
            return Row(subject, "green", f"our server {ours[0]!r} listens", wanted)
        return Row(subject, "red", error.problem, wanted, error.action)
    return Row(subject, "green", "free", wanted)


def _our_ports() -> Iterator[tuple[str, int]]:
    for store in list_stores():
        try:
            record = store.read()
        except StateError:
            continue
        if record is not None and record.is_running:
            yield store.name, int(record.base_url.rpartition(":")[2])


def _dotted(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"

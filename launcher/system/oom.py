"""How many processes the kernel has killed for want of memory: the only witness of such a kill.

A killed process says nothing, and its parent sees a SIGKILL like any other. A difference of two
counts, before and after, tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
# The line of the second version is "0::/path"; of the first, "4:memory:/path".
_UNIFIED: Final = ""
_MEMORY: Final = "memory"


def oom_kill_count(
    cgroup_root: Path = CGROUPS,
    *,
    own_cgroup: Path = Path("/proc/self/cgroup"),
    vmstat: Path = Path("/proc/vmstat"),
) -> int | None:
    """Processes killed for want of memory so far: in our own control group, else on the machine.

    Take the difference of two calls; the count itself began with the group, or with the boot.

    Args:
        cgroup_root: where control groups are mounted.
        own_cgroup: which group is ours.
        vmstat: the machine's own counters.

    Returns:
        The counter `oom_kill`; None where no file has it.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (`memory.events`), cgroup-v1/memory.rst
    (`memory.oom_control`), and mm/vmstat.c, `oom_kill`.
    """
    for file in (*_group_files(cgroup_root, own_cgroup), vmstat):
        count = _read_counter(file)
        if count is not None:
            return count
    return None


def _group_files(cgroup_root: Path, own_cgroup: Path) -> list[Path]:
    try:
        lines = own_cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # In a container the path may be the host's, and then the root is our own group.
        below = path.lstrip("/")
        if controllers == _UNIFIED:
            folders = [cgroup_root / below, cgroup_root]
            files += [folder / "memory.events" for folder in folders]
        elif _MEMORY in controllers.split(","):
            folders = [cgroup_root / _MEMORY / below, cgroup_root / _MEMORY]
            files += [folder / "memory.oom_control" for folder in folders]
    return files


def _read_counter(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return None

"""Counts of kills for want of memory, from files as the kernel writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from launcher.system.oom import oom_kill_count

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = "low 0\nhigh 7\nmax 41\noom 3\noom_kill 2\noom_group_kill 1\n"
VMSTAT = "nr_free_pages 5432\noom_kill 9\nnuma_hit 1\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "vmstat").write_text(VMSTAT)
    (tmp_path / "cgroup").write_text("0::/user.slice/app.service\n")
    return tmp_path


def count(machine: Path) -> int | None:
    return oom_kill_count(
        machine / "cgroups", own_cgroup=machine / "cgroup", vmstat=machine / "vmstat"
    )


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_our_own_group_is_asked_first(machine: Path) -> None:
    write(machine / "cgroups/user.slice/app.service/memory.events", EVENTS)
    write(machine / "cgroups/memory.events", "oom_kill 100\n")

    assert count(machine) == 2


def test_in_a_container_that_does_not_see_its_own_path_the_root_is_our_group(
    machine: Path,
) -> None:
    write(machine / "cgroups/memory.events", EVENTS)

    assert count(machine) == 2


def test_the_first_version_of_control_groups_counts_too(machine: Path) -> None:
    (machine / "cgroup").write_text("9:name=systemd:/\n4:cpu,memory:/jobs/a:b\n0::/\n")
    write(
        machine / "cgroups/memory/jobs/a:b/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
    )

    assert count(machine) == 5


@pytest.mark.parametrize("text", ["", "oom 3\n", "oom_kill\n", "oom_kill many\n", "oom_kill -1\n"])
def test_without_a_counter_in_the_group_the_machine_is_asked(machine: Path, text: str) -> None:
    write(machine / "cgroups/user.slice/app.service/memory.events", text)

    assert count(machine) == 9


def test_a_group_whose_files_cannot_be_read_is_passed_over(machine: Path) -> None:
    (machine / "cgroups/user.slice/app.service/memory.events").mkdir(parents=True)

    assert count(machine) == 9


def test_where_nothing_counts_nothing_is_known(machine: Path) -> None:
    (machine / "vmstat").unlink()
    (machine / "cgroup").unlink()

    assert count(machine) is None


def test_bytes_that_are_no_text_are_no_count(machine: Path) -> None:
    (machine / "vmstat").write_bytes(b"oom_kill \xff\n")

    assert count(machine) is None


def test_the_files_of_this_machine_are_understood() -> None:
    found = oom_kill_count()

    # A sandbox may hide them all.
    assert found is None or found >= 0

"""Lock files: one holder at a time, for as long as the file is open."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from launcher.system.locks import find_holder, open_locked, own_descriptor


def test_a_lock_has_one_holder_until_it_is_closed(tmp_path: Path) -> None:
    with open_locked(tmp_path / "lock"), pytest.raises(BlockingIOError):
        open_locked(tmp_path / "lock")

    open_locked(tmp_path / "lock").close()


def test_a_holder_is_waited_for(tmp_path: Path) -> None:
    held = open_locked(tmp_path / "lock")
    threading.Timer(0.1, held.close).start()

    with open_locked(tmp_path / "lock", timeout_seconds=30.0):
        assert held.closed


def test_the_wait_ends_with_its_time_or_when_it_is_no_use(tmp_path: Path) -> None:
    began = time.monotonic()
    with open_locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError):
            open_locked(tmp_path / "lock", timeout_seconds=0.05)
        with pytest.raises(BlockingIOError):
            open_locked(tmp_path / "lock", timeout_seconds=30.0, keep_waiting=lambda: False)

    assert 0.05 <= time.monotonic() - began < 20.0


def test_a_process_that_inherits_the_descriptor_holds_the_lock_too(tmp_path: Path) -> None:
    with open_locked(tmp_path / "lock") as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                                 pass_fds=[lock.fileno()])  # fmt: skip
    with pytest.raises(BlockingIOError):
        open_locked(tmp_path / "lock")

    child.kill()
    child.communicate()
    open_locked(tmp_path / "lock").close()


def test_the_file_is_made_with_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    open_locked(tmp_path / "private").close()
    open_locked(tmp_path / "shared", mode=0o644).close()

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "shared")]
    assert modes == [0o600, 0o644]


def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_locked(tmp_path / "no" / "lock")


def test_the_holder_of_a_lock_is_found_although_its_file_was_removed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert find_holder(lock) is None
    with open_locked(lock) as held:
        assert own_descriptor(lock) == held.fileno()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                                 pass_fds=[held.fileno()])  # fmt: skip
    holder = find_holder(lock)
    lock.unlink()
    after = find_holder(lock)
    child.kill()
    child.communicate()
    assert holder is not None
    assert holder == after
    assert (holder.pid, holder.is_here) == (child.pid, True)
    assert find_holder(lock) is None


def test_whoever_merely_has_it_open_is_no_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    open_locked(lock).close()
    with lock.open():
        assert find_holder(lock) is None
        assert own_descriptor(lock) is None
        with open_locked(lock):
            holder = find_holder(lock)
    assert holder is not None
    assert holder.pid == os.getpid()


def test_a_lock_that_was_made_anew_is_not_the_one_that_is_held(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with open_locked(lock):
        lock.unlink()
        assert own_descriptor(lock) is None
        with open_locked(lock) as second:
            assert own_descriptor(lock) == second.fileno()

"""A disk of our own that can be filled to its last block."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_SIZE_KIB = 400


class SmallDisk:
    """A tmpfs that holds little.

    Attributes:
        root: where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Leave neither a block nor an inode."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(b"x" * 1024):
                pass
        with contextlib.suppress(OSError):
            for number in range(1000):
                (self.root / f"inode-{number}").touch()

    def free(self) -> None:
        """Give all that back."""
        for file in (self._ballast, *self.root.glob("inode-*")):
            file.unlink(missing_ok=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    root = tmp_path / "small-disk"
    root.mkdir()
    mount = [
        "/usr/bin/env",
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={_SIZE_KIB}k,nr_inodes=64,mode=0700",
        "tmpfs",
    ]
    mounted = (
        os.geteuid() == 0
        and not subprocess.run([*mount, str(root)], check=False, capture_output=True).returncode
    )
    if not mounted:
        pytest.skip("mounting a disk takes root")
    yield SmallDisk(root)
    subprocess.run(["/usr/bin/env", "umount", "-l", str(root)], check=True)

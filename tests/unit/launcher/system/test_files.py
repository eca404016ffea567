"""Files that only their owner reads, whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from launcher.errors import StateError
from launcher.system.files import make_private_folder, open_private, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The most careless mask there is must not open a file."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"

    make_private_folder(folder)
    make_private_folder(folder)

    assert mode_of(folder) == 0o700


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(
        StateError, match="file is not ours alone: it is a file in a folder's place"
    ):
        make_private_folder(tmp_path / "file")
    with pytest.raises(StateError, match="not ours alone") as caught:
        make_private_folder(tmp_path / "file" / "below")
    assert "XDG_STATE_HOME" in caught.value.action


@pytest.mark.parametrize("append", [True, False])
def test_an_opened_file_is_for_its_owner_alone(tmp_path: Path, *, append: bool) -> None:
    with open_private(tmp_path / "file", append=append) as file:
        assert mode_of(tmp_path / "file") == 0o600
        assert not os.get_inheritable(file.fileno())


def test_a_file_is_emptied_or_appended_to(tmp_path: Path) -> None:
    for text, append in ((b"one", False), (b"two", True)):
        with open_private(tmp_path / "file", append=append) as file:
            file.write(text)
    assert (tmp_path / "file").read_bytes() == b"onetwo"

    with open_private(tmp_path / "file") as file:
        file.write(b"three")
    assert (tmp_path / "file").read_bytes() == b"three"


def test_a_written_file_is_for_its_owner_alone_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text("old")
    file.chmod(0o644)

    write_atomically(file, "né\n")

    assert file.read_text(encoding="utf-8") == "né\n"
    assert mode_of(file) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_fills_up_leaves_the_old_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_atomically(file, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        # The first ten bytes are taken, as on a disk with that much room.
        with pytest.raises(StateError, match="File too large"):
            write_atomically(file, "new " * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StateError, match="Not a directory"):
        write_atomically(tmp_path / "file" / "run.json", "text")
    with pytest.raises(StateError, match="No such file"):
        write_atomically(tmp_path / "missing" / "run.json", "text")


def test_a_folder_in_the_way_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()

    with pytest.raises(StateError, match="Is a directory"):
        write_atomically(tmp_path / "run.json", "text")

    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    texts = ["a" * 200_000, "b" * 150_000]
    write_atomically(file, texts[0])
    done = threading.Event()

    def write() -> None:
        for number in range(60):
            write_atomically(file, texts[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(file.read_text())
    writer.join()

    assert seen <= set(texts)

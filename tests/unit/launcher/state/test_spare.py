"""A record is written on a disk that has neither a block nor an inode left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from launcher.errors import StateError
from launcher.state import spare
from launcher.state.store import RunStore
from tests.unit.launcher.examples import make_record
from tests.unit.launcher.full_disk import SmallDisk, small_disk

__all__ = ["small_disk"]


def test_a_record_is_written_again_and_again_on_a_full_disk(small_disk: SmallDisk) -> None:
    store = RunStore("default", root=small_disk.root / "servers")
    store.create()
    with store.lock():
        store.write(make_record(store.folder, restarts=0))
        small_disk.fill()
        for number in range(1, 8):
            store.write(make_record(store.folder, restarts=number, last_failure="x" * 3000))
            record = store.read()
            assert record is not None
            assert record.restarts == number
        names = {entry.name for entry in store.folder.iterdir()}
        assert names == {"run.json", ".run.json.spare", "lock"}
        small_disk.free()
        store.write(make_record(store.folder, restarts=9))
    assert json.loads(store.record_file.read_text())["restarts"] == 9


def test_without_a_spare_the_former_record_stands_and_says_since_when(
    small_disk: SmallDisk,
) -> None:
    store = RunStore("default", root=small_disk.root / "servers")
    store.create()
    with store.lock():
        store.write(make_record(store.folder))
        spare.spare_of(store.record_file).unlink()
        small_disk.fill()
        with pytest.raises(StateError, match="No space left"):
            store.write(make_record(store.folder, restarts=1))
        store.mark_unwritten()
        record = store.read()
        assert record is not None
        assert record.unwritten_since is not None
        small_disk.free()
        store.write(make_record(store.folder, restarts=1))
        record = store.read()
        assert record is not None
        assert (record.restarts, record.unwritten_since) == (1, None)


def test_a_record_cannot_say_of_itself_what_only_its_reader_finds_out(tmp_path: Path) -> None:
    store = RunStore("default", root=tmp_path)
    store.create()
    with store.lock():
        store.write(make_record(store.folder))
        fields = json.loads(store.record_file.read_text())
        assert not {"elsewhere", "unwritten_since"} & set(fields)
        lies = {"elsewhere": "on the moon", "unwritten_since": "2026-11-23T10:30:05Z"}
        store.record_file.write_text(json.dumps(fields | lies))
        record = store.read()
    assert record is not None
    assert (record.elsewhere, record.unwritten_since) == (None, None)


def test_a_spare_that_is_no_file_of_ours_is_not_written(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    file = tmp_path / "run.json"
    file.write_text("{}")
    spare.spare_of(file).symlink_to(other)
    with pytest.raises(OSError, match="symbolic link"):
        spare.write_to_spare(file, b"x")
    assert other.read_text() == "mine"


@pytest.mark.parametrize("size", [1, 9_000, 12_287, 12_288, 12_289, 40_000])
def test_a_padded_text_has_room_to_grow(size: int) -> None:
    text = spare.padded("x" * size)
    assert len(text) % spare.SLOT_BYTES == 0
    assert len(text) - size >= 4096
    assert text.strip() == "x" * size


def test_a_longer_record_than_the_spare_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text("{}")
    spare.keep_spare(file)
    with pytest.raises(OSError, match=os.strerror(28)):
        spare.write_to_spare(file, b"x" * 3)
    assert file.read_text() == "{}"

"""Hashes of a model in the hub's cache, whose layout is made here as huggingface_hub makes it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from launcher.errors import ModelIncompleteError
from launcher.models import hashes
from launcher.models.hashes import blobs_of, check_hashes

WEIGHTS = b"weights" * 1000
CONFIG = b"{}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one large and one small file."""
    folder = tmp_path / "models--owner--name"
    snapshot = folder / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir()
    # `git hash-object` of a file that holds "{}".
    for name, content, digest in (
        ("model.safetensors", WEIGHTS, hashlib.sha256(WEIGHTS).hexdigest()),
        ("config.json", CONFIG, "9e26dfeeb6e641a33dae4961196235bdb965b21b"),
    ):
        (folder / "blobs" / digest).write_bytes(content)
        (snapshot / name).symlink_to(Path("../../blobs") / digest)
    (folder / "blobs" / "abc.incomplete").write_bytes(b"a part")
    return folder


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "verified_files.json"


def blob_of(repository: Path, name: str) -> Path:
    return (repository / "snapshots" / "0123" / name).resolve()


def flip_a_byte(blob: Path) -> None:
    """As a disk does it: neither size nor time change."""
    before = blob.stat()
    with blob.open("r+b") as file:
        file.seek(5)
        file.write(b"X")
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_model_that_is_right_passes_and_is_not_read_again(
    repository: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_hashes(blobs_of(repository), memory)
    assert memory.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(hashes, "hash_as", lambda *_: pytest.fail("read again"))
    check_hashes(blobs_of(repository), memory)


def test_a_folder_and_its_repository_have_the_same_blobs(repository: Path) -> None:
    found = blobs_of(repository)
    assert found == blobs_of(repository / "snapshots" / "0123")
    assert {blob.name[:4] for blob in found} == {hashlib.sha256(WEIGHTS).hexdigest()[:4], "9e26"}


def test_a_flipped_byte_is_found_and_its_file_set_aside(repository: Path, memory: Path) -> None:
    blob = blob_of(repository, "model.safetensors")
    flip_a_byte(blob)

    with pytest.raises(ModelIncompleteError, match="1 of 2 files") as caught:
        check_hashes(blobs_of(repository), memory)

    (evidence,) = caught.value.evidence
    assert evidence.startswith("model.safetensors: its hash is ")
    assert not blob.exists()
    assert blob.with_name(f"{blob.name}.corrupt").stat().st_size == len(WEIGHTS)
    assert blob_of(repository, "config.json").exists()
    # What a download puts there is read, and the other file is not.
    blob.write_bytes(WEIGHTS)
    check_hashes(blobs_of(repository), memory)


def test_a_small_file_is_held_against_the_hash_that_git_gives_it(
    repository: Path, memory: Path
) -> None:
    blob_of(repository, "config.json").write_bytes(b"[]")
    with pytest.raises(ModelIncompleteError, match=r"1 of 2") as caught:
        check_hashes(blobs_of(repository), memory)
    assert caught.value.evidence[0].startswith("config.json")


def test_a_file_that_was_written_to_is_read_again(repository: Path, memory: Path) -> None:
    check_hashes(blobs_of(repository), memory)
    blob_of(repository, "model.safetensors").write_bytes(b"other")
    with pytest.raises(ModelIncompleteError, match="1 of 1 files"):
        check_hashes(blobs_of(repository), memory)


def test_a_file_that_is_as_right_as_before_is_read_once_more(
    repository: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_hashes(blobs_of(repository), memory)
    os.utime(blob_of(repository, "model.safetensors"))
    check_hashes(blobs_of(repository), memory)
    monkeypatch.setattr(hashes, "hash_as", lambda *_: pytest.fail("read again"))
    check_hashes(blobs_of(repository), memory)


def test_a_file_that_cannot_be_read_is_told(
    repository: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(blob: Path, _digest: str) -> str:
        raise PermissionError(13, "Permission denied", str(blob))

    monkeypatch.setattr(hashes, "hash_as", refuse)
    with pytest.raises(ModelIncompleteError, match="Permission denied"):
        check_hashes(blobs_of(repository), memory)


def test_where_nobody_says_what_is_right_nothing_is_wrong(tmp_path: Path, memory: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    assert blobs_of(tmp_path) == []
    assert blobs_of(tmp_path / "missing") == []
    check_hashes([], memory)
    assert not memory.exists()


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_memory_that_is_broken_is_none(repository: Path, memory: Path, text: str) -> None:
    memory.parent.mkdir()
    memory.write_text(text)
    check_hashes(blobs_of(repository), memory)
    assert memory.read_text().startswith("{")


def test_a_memory_that_cannot_be_written_costs_only_another_look(
    repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    check_hashes(blobs_of(repository), tmp_path / "file" / "verified_files.json")


def test_a_blob_that_repositories_share_is_checked_and_set_aside_as_well(
    repository: Path, memory: Path
) -> None:
    blob = blob_of(repository, "model.safetensors")
    # huggingface_hub's store for what came by Xet has names of another kind.
    shared = repository.parent / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(shared)
    assert blob in blobs_of(repository / "snapshots" / "0123")
    check_hashes(blobs_of(repository), memory)
    flip_a_byte(shared)
    os.utime(shared)
    with pytest.raises(ModelIncompleteError, match="1 of 1 files") as caught:
        check_hashes(blobs_of(repository), memory)
    assert caught.value.evidence[0].startswith("model.safetensors")
    assert not blob.is_symlink()
    # It may be right for the others, or theirs to mend.
    assert shared.exists()

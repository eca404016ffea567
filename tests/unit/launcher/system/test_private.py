"""What is ours alone, and what is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.system import private
from launcher.system.private import NotOursError

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Of a careless user, of most, and of a strange one."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
def test_a_folder_and_its_parents_are_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    private.make_folder(tmp_path / "a" / "b" / "c")

    for folder in ("a", "a/b", "a/b/c"):
        assert mode_of(tmp_path / folder) == 0o700, folder


@pytest.mark.usefixtures("umask")
def test_a_file_is_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    os.close(private.open_file(tmp_path / "file", os.O_WRONLY | os.O_CREAT))

    assert mode_of(tmp_path / "file") == 0o600


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_not_ours(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(mode)

    with pytest.raises(NotOursError, match="others can write"):
        private.check_folder(tmp_path / "a")


def test_nor_is_what_lies_below_one_that_has_no_sticky_bit(tmp_path: Path) -> None:
    private.make_folder(tmp_path / "a" / "b")
    (tmp_path / "a").chmod(0o777)
    with pytest.raises(NotOursError, match="others can write"):
        private.make_folder(tmp_path / "a" / "b")
    with pytest.raises(NotOursError, match="others can write"):
        private.make_folder(tmp_path / "a" / "new")
    assert not (tmp_path / "a" / "new").exists()

    (tmp_path / "a").chmod(0o1777)
    private.check_folder(tmp_path / "a" / "b")


@as_root
@pytest.mark.parametrize("above", ["a", "a/b"])
def test_nor_is_what_another_user_has_above_us(tmp_path: Path, above: str) -> None:
    private.make_folder(tmp_path / "a" / "b")
    os.chown(tmp_path / above, NOBODY, NOBODY)

    with pytest.raises(NotOursError, match=f"belongs to user {NOBODY}"):
        private.check_folder(tmp_path / "a" / "b")


def test_a_link_above_us_is_followed_where_its_way_is_ours(tmp_path: Path) -> None:
    private.make_folder(tmp_path / "disk" / "state")
    (tmp_path / "state").symlink_to("disk/state")
    private.make_folder(tmp_path / "state" / "servers")

    (tmp_path / "disk").chmod(0o777)
    with pytest.raises(NotOursError, match="others can write"):
        private.check_folder(tmp_path / "state" / "servers")


def test_a_link_in_our_folder_s_place_is_none(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(NotOursError, match="a symbolic link in a folder's place"):
        private.check_folder(tmp_path / "link")


@as_root
def test_a_link_of_another_user_above_us_is_not_followed(tmp_path: Path) -> None:
    private.make_folder(tmp_path / "a" / "b")
    (tmp_path / "link").symlink_to("a")
    os.chown(tmp_path / "link", NOBODY, NOBODY, follow_symlinks=False)

    with pytest.raises(NotOursError, match="a symbolic link of user"):
        private.check_folder(tmp_path / "link" / "b")


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_RDWR])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("pipe", "a named pipe"),
        ("folder", "a folder"),
    ],
)
def test_what_is_no_file_is_never_opened_nor_waited_for(
    tmp_path: Path, flags: int, kind: str, why: str
) -> None:
    target, path = tmp_path / "target", tmp_path / "file"
    if kind == "link":
        target.write_text("as it was")
    if kind in {"link", "dangling"}:
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()

    with pytest.raises(NotOursError, match=why):
        private.open_file(path, flags)

    assert not target.exists() or target.read_text() == "as it was"
    assert not private.is_usable(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_ours_and_keeps_its_content(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "file"
    path.write_text("theirs")
    path.chmod(mode)

    with pytest.raises(NotOursError, match="others can write"):
        private.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    assert path.read_text() == "theirs"


@as_root
def test_a_file_of_another_user_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("theirs")
    os.chown(path, NOBODY, NOBODY)

    with pytest.raises(NotOursError, match=f"belongs to user {NOBODY}"):
        private.read_bytes(path, largest_bytes=100)


def test_more_than_was_ever_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 11)

    assert private.read_bytes(tmp_path / "file", largest_bytes=11) == b"x" * 11
    with pytest.raises(NotOursError, match="longer than 10 bytes"):
        private.read_bytes(tmp_path / "file", largest_bytes=10)


def test_what_is_set_aside_keeps_its_content_and_leaves_its_place(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "file").write_text(str(number))
        private.set_aside(tmp_path / "file")

    assert not (tmp_path / "file").exists()
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == ["0", "1", "2"]

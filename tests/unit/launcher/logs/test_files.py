"""A log in several files is one stream, while it is written and rotated too."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import StateError
from launcher.logs import files as log_files
from launcher.logs.collector import LogFile, rotate
from launcher.logs.files import LogReader, begin

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def write_files(log: Path, *texts: str) -> None:
    """The files of a log, the oldest first."""
    for text in texts:
        if log.exists():
            rotate(str(log), 9)
        log.write_text(text)


def text_of(blocks: Iterable[bytes]) -> str:
    return b"".join(blocks).decode()


def read_rest(reader: LogReader) -> str:
    return text_of(reader.read(to_the_end=True))


def is_late(line: bytes) -> bool | None:
    """Lines like '7 text' are late enough from 5 on."""
    return int(line[:1]) >= 5 if line[:1].isdigit() else None


# --- a new run ---------------------------------------------------------------------------------


def test_a_new_run_begins_an_empty_log_and_keeps_the_former_ones(log: Path) -> None:
    for run in range(4):
        begin(log, 2)
        assert log.read_text() == ""
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        log.write_text(f"run {run}")

    assert sorted(file.name for file in log.parent.iterdir()) == [
        "server.log",
        "server.log.1",
        "server.log.2",
    ]
    assert log.with_name("server.log.2").read_text() == "run 1"


def test_a_run_that_printed_nothing_pushes_none_out(log: Path) -> None:
    log.write_text("former")
    begin(log)
    begin(log)

    assert log.with_name("server.log.1").read_text() == "former"
    assert not log.with_name("server.log.2").exists()


def test_a_log_that_cannot_be_begun_is_an_error_before_anything_is_started(log: Path) -> None:
    log.mkdir()
    (log / "x").touch()
    log.with_name("server.log.1").touch()

    with pytest.raises(StateError, match="server.log is not ours alone"):
        begin(log, 1)


# --- reading -----------------------------------------------------------------------------------


def test_all_files_are_read_as_one_the_oldest_first(log: Path) -> None:
    write_files(log, "a\nb\n", "c\n", "d\ne")

    with LogReader(log) as reader:
        assert read_rest(reader) == "a\nb\nc\nd\ne"


def test_a_line_that_is_still_being_written_waits_for_its_end(log: Path) -> None:
    log.write_text("one\nhal")
    with LogReader(log) as reader:
        assert text_of(reader.read()) == "one\n"
        with log.open("a") as file:
            file.write("f\n")
        assert text_of(reader.read()) == "half\n"
        assert text_of(reader.read(to_the_end=True)) == ""


def test_a_line_that_never_ends_is_handed_on_all_the_same(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "_LONGEST_LINE_BYTES", 100)
    log.write_text("x" * 250)

    with LogReader(log) as reader:
        assert text_of(reader.read()) == "x" * 200


def test_files_of_earlier_runs_are_left_out(log: Path) -> None:
    write_files(log, "old\n", "former\n", "this\n", "newest\n")
    for number, written_at in ((3, 100), (2, 200), (1, 300)):
        os.utime(log.with_name(f"server.log.{number}"), (written_at, written_at))

    with LogReader(log, written_since=250.0) as reader:
        assert read_rest(reader) == "this\nnewest\n"


def test_a_file_that_is_seen_twice_while_it_is_moved_is_read_once(log: Path) -> None:
    write_files(log, "one\n", "two\n")
    log.with_name("server.log.2").hardlink_to(log.with_name("server.log.1"))

    with LogReader(log) as reader:
        assert read_rest(reader) == "one\ntwo\n"


def test_files_that_only_look_like_the_log_s_are_not_read(log: Path) -> None:
    log.write_text("mine\n")
    for name in ("server.log.bak", "server.log.1.gz", "other.log.1"):
        log.with_name(name).write_text("not mine\n")

    with LogReader(log) as reader:
        assert read_rest(reader) == "mine\n"


def test_a_log_that_is_not_there_is_an_error(log: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogReader(log)


LINES = st.lists(st.text("xy", max_size=12), max_size=20)


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(0, 60), st.booleans())
def test_the_last_lines_are_those_of_all_files_together(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[str]],
    count: int,
    ends: bool,  # noqa: FBT001  # hypothesis gives it
) -> None:
    log = tmp_path_factory.mktemp("logs") / "server.log"
    texts = ["".join(f"{line}\n" for line in lines) for lines in files]
    if not ends:
        texts[-1] = texts[-1].removesuffix("\n")
    write_files(log, *texts)
    expected = "".join(texts).splitlines(keepends=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "_BLOCK_BYTES", 7)  # small examples reach every case
        with LogReader(log) as reader:
            reader.skip_to_last(count)

            assert read_rest(reader) == "".join(expected[max(0, len(expected) - count) :])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["1 a\n7 b\n3 c\n"], "7 b\n3 c\n"),
        (["1 a\nof a\n", "of a\n9 b\nof b\n"], "of a\n9 b\nof b\n"),
        (["1 a\nof a\n7 b\n", "8 c\n"], "7 b\n8 c\n"),
        (["1 a\n", "2 b\nof b\n"], ""),
        (["no time\n", "none either\n7 c\n"], "no time\nnone either\n7 c\n"),
        ([""], ""),
        (["1 a\n", ""], ""),
    ],
    ids=[
        "all from the first late one on, whatever comes",
        "what stands before the first time belongs to it",
        "across files",
        "nothing is late",
        "a file without any time is kept",
        "an empty log",
        "an empty last file",
    ],
)
def test_reading_begins_with_the_first_line_that_is_late_enough(
    log: Path, files: list[str], expected: str
) -> None:
    write_files(log, *files)

    with LogReader(log) as reader:
        reader.skip_to(is_late, written_since=0.0)

        assert read_rest(reader) == expected


def test_a_file_that_was_written_before_is_not_looked_at(log: Path) -> None:
    write_files(log, "7 a\n", "7 b\n")
    os.utime(log.with_name("server.log.1"), (100, 100))

    with LogReader(log) as reader:
        reader.skip_to(is_late, written_since=200.0)

        assert read_rest(reader) == "7 b\n"


def test_the_last_lines_of_what_is_late_enough(log: Path) -> None:
    write_files(log, "1 a\n7 b\n", "7 c\n7 d\n")

    for count, expected in ((2, "7 c\n7 d\n"), (3, "7 b\n7 c\n7 d\n"), (9, "7 b\n7 c\n7 d\n")):
        with LogReader(log) as reader:
            reader.skip_to(is_late, written_since=0.0)
            reader.skip_to_last(count)

            assert read_rest(reader) == expected


# --- following ---------------------------------------------------------------------------------


def test_a_rotation_is_followed_and_the_rest_of_the_former_file_read_first(log: Path) -> None:
    log.write_text("one\n")
    with LogReader(log) as reader:
        assert text_of(reader.read()) == "one\n"
        with log.open("a") as file:
            file.write("two\n")
            file.flush()
            rotate(str(log), 3)
            # Between the two steps of a rotation.
            assert text_of(reader.read()) == "two\n"
        write_files(log, "three\n", "four\n", "five\n")
        assert text_of(reader.read()) == "three\nfour\nfive\n"
        assert text_of(reader.read()) == ""


def test_a_reader_that_was_outrun_goes_on_with_the_oldest_that_is_left(log: Path) -> None:
    log.write_text("one\n")
    with LogReader(log) as reader:
        assert text_of(reader.read()) == "one\n"
        for text in ("two\n", "three\n", "four\n"):
            rotate(str(log), 1)
            log.write_text(text)

        assert text_of(reader.read()) == "three\nfour\n"


def test_a_log_that_somebody_emptied_is_read_from_its_beginning(log: Path) -> None:
    log.write_text("one\ntwo\n")
    with LogReader(log) as reader:
        assert text_of(reader.read()) == "one\ntwo\n"
        log.write_text("new\n")

        assert text_of(reader.read()) == "new\n"


def test_a_reader_beside_a_busy_writer_sees_each_line_once(log: Path) -> None:
    lines = 30_000
    begin(log)
    writer = LogFile(str(log), rotate_bytes=20_000, keep_files=50)

    def write() -> None:
        for number in range(0, lines, 10):
            writer.write([b"line %d" % each for each in range(number, number + 10)])
        writer.close()

    seen = bytearray()
    thread = threading.Thread(target=write)
    with LogReader(log) as reader:
        thread.start()
        while thread.is_alive():
            seen += b"".join(reader.read())
        seen += b"".join(reader.read(to_the_end=True))
    thread.join()

    numbers = [int(line.split()[1]) for line in seen.decode().splitlines()]
    # Not as one comparison, whose difference would be thousands of lines.
    out_of_place = [(place, number) for place, number in enumerate(numbers) if place != number]
    assert (len(numbers), out_of_place[:3]) == (lines, [])


@pytest.mark.parametrize("rotations", [1, 2, 3, 5])
@pytest.mark.parametrize("rotated_before", [0, 1, 4])
def test_rotations_while_the_files_are_opened_change_no_order(
    log: Path, monkeypatch: pytest.MonkeyPatch, rotations: int, rotated_before: int
) -> None:
    texts: list[str] = []

    def grow() -> None:
        if texts:
            rotate(str(log), 50)
        texts.append(f"line {len(texts)}\n")
        log.write_text(texts[-1])

    list_folder = os.listdir

    def list_then_grow(folder: Path) -> list[str]:
        monkeypatch.undo()  # once is enough
        names = list_folder(folder)
        for _ in range(rotations):
            grow()
        return names

    for _ in range(rotated_before + 1):
        grow()
    with LogReader(log) as reader:
        seen = text_of(reader.read())
        grow()
        monkeypatch.setattr(os, "listdir", list_then_grow)
        seen += text_of(reader.read())

    assert seen == "".join(texts)


def test_reading_backwards_does_not_read_it_all(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(200 * 1024 * 1024)  # a hole: it takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"line\n" * 1000)
    code = (
        "import sys; from pathlib import Path; from launcher.logs.files import LogReader\n"
        "reader = LogReader(Path(sys.argv[1])); reader.skip_to_last(500)\n"
        "print(sum(len(block) for block in reader.read()))\n"
        "read = Path('/proc/self/io').read_text().split('rchar: ')[1].split()[0]\n"
        "print(read)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=True
    )

    size, read = map(int, done.stdout.split())
    assert size == 2500
    # Most of it is Python's own modules.
    assert read < 100e6

"""A download as a person sees it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from launcher.cli.display.download import PullDisplay, show_finished
from launcher.cli.display.progress import StartDisplay
from launcher.models.download.events import (
    FileProgress,
    FileVerified,
    FileWrong,
    PullFinished,
    PullProgress,
    PullResolved,
    PullWaits,
)

FILE = FileProgress(
    path="model-[red]1.safetensors",
    done_bytes=1024**3,
    total_bytes=5 * 1024**3,
    bytes_per_second=100 * 1024**2,
    seconds_left=41.0,
)
PROGRESS = PullProgress(
    done_bytes=10 * 1024**3,
    total_bytes=100 * 1024**3,
    bytes_per_second=200 * 1024**2,
    seconds_left=460.8,
    files=(FILE,),
)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=140, no_color=True)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_all_files_and_each_in_work_have_their_rate_and_time_left() -> None:
    console = terminal()
    display = PullDisplay(console)
    with display.show():
        display.feed(PROGRESS)
    shown = text_of(console)
    assert "10.0 GiB of 100.0 GiB" in shown
    assert "200.0 MiB/s, 7 min 41 s left" in shown
    # The name of a file is no markup.
    assert "model-[red]1.safetensors" in shown
    assert "100.0 MiB/s, 41.0 s left" in shown


def test_a_file_that_is_done_has_no_line_any_more() -> None:
    console = terminal()
    display = PullDisplay(console)
    with display.show():
        display.feed(PROGRESS)
        display.feed(PullProgress(done_bytes=2, total_bytes=2, bytes_per_second=1.0,
                                  seconds_left=0.0, files=()))  # fmt: skip
    assert "safetensors" not in text_of(console).rpartition("all files")[2]


def test_a_start_that_downloads_shows_it_as_a_phase() -> None:
    console = terminal()
    display = StartDisplay(console)
    with display.show():
        display.enter("checking")
        display.feed_download(PROGRESS)
        display.feed_download(PullWaits(pid=7))
    shown = text_of(console)
    assert "downloading" in shown
    assert "10.0 GiB of 100.0 GiB" in shown
    assert "7 min 41 s left" in shown
    assert "(process 7)" in shown


@pytest.mark.parametrize("quiet", [True, False])
def test_a_pipe_gets_no_progress(*, quiet: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=quiet)
    display = PullDisplay(console, quiet=quiet)
    with display.show():
        display.feed(PROGRESS)
        display.feed(FileWrong(path="a", found="1", expected="2"))
    assert text_of(console) == ""


def test_what_was_found_is_said() -> None:
    console = terminal()
    display = PullDisplay(console)
    with display.show():
        display.feed(PullResolved(repository="o/n", revision="main", commit="ab" * 20,
                                  endpoint="https://hub", folder="/f", files=3,
                                  total_bytes=2048))  # fmt: skip
        display.feed(FileVerified(path="config.json", size_bytes=2, digest="0" * 40,
                                  fetched_bytes=0))  # fmt: skip
        display.feed(FileWrong(path="a.safetensors", found="1", expected="2"))
    shown = text_of(console)
    assert "o/n at abababababab (main): 3 files, 2.0 KiB." in shown
    assert "config.json: as the hub has it." in shown
    assert "a.safetensors is not what the hub has" in shown


@pytest.mark.parametrize(("by_hash", "said"), [(True, "by its hash"), (False, "no hashes")])
def test_the_end_says_how_sure_it_is(*, by_hash: bool, said: str) -> None:
    event = PullFinished(repository="o/n", revision="main", commit="ab" * 20, folder="/models/n",
                         files=3, total_bytes=2048, fetched_bytes=1024, seconds=2.0,
                         by_hash=by_hash)  # fmt: skip
    console = terminal()
    show_finished(console, event)
    assert said in text_of(console)
    assert str(Path("/models/n")) in text_of(console)
    pipe = Console(file=io.StringIO())
    show_finished(pipe, event)
    assert text_of(pipe) == "/models/n\n"

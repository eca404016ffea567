"""The file that tells a gateway of its servers, written by several processes at once."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from launcher.engines.smg.discovery import Listed, change_listed, read_listed
from launcher.errors import StateError

A, B, C = (f"http://127.0.0.1:{port}" for port in (8001, 8002, 8003))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fleet" / "discovery.json"


def test_it_is_in_the_gateways_own_format(file: Path) -> None:
    change_listed(file, add=(A, B))
    assert json.loads(file.read_text()) == {"version": 1, "workers": [{"url": A}, {"url": B}]}


def test_no_file_lists_nobody(file: Path) -> None:
    assert read_listed(file) == Listed()


def test_who_leaves_is_gone_and_who_comes_twice_stands_once(file: Path) -> None:
    change_listed(file, add=(A, B, A))
    change_listed(file, add=(B,), remove=(A,))
    assert read_listed(file).servers == (B,)


def test_an_empty_list_is_written_so_that_a_gateway_has_a_file(file: Path) -> None:
    change_listed(file, remove=(A,))
    assert json.loads(file.read_text())["workers"] == []


def test_who_is_held_stays_out_until_released(file: Path) -> None:
    change_listed(file, add=(A, B))
    change_listed(file, hold=(A,))
    assert read_listed(file) == Listed((B,), (A,))
    change_listed(file, add=(A,))
    assert read_listed(file).servers == (B,)
    change_listed(file, release=(A,), add=(A,))
    assert read_listed(file) == Listed((B, A), ())


def test_what_does_not_change_is_not_written(file: Path) -> None:
    change_listed(file, add=(A,))
    before = file.stat().st_mtime_ns, file.stat().st_ino
    change_listed(file, add=(A,), remove=(B,))
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"workers": 1}', '{"workers": [1]}', "null"])
def test_another_file_in_its_place_is_refused(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(StateError, match="no list of a gateway's servers"):
        change_listed(file, add=(A,))
    assert file.read_text() == text


def test_a_broken_list_of_those_held_is_named(file: Path) -> None:
    file.parent.mkdir()
    held = file.with_name("discovery.json.held")
    held.write_text('{"held": "all"}')
    with pytest.raises(StateError, match=r"json\.held is no list"):
        change_listed(file, add=(A,))


def _come_and_go(file: Path, url: str) -> None:
    for _ in range(20):
        change_listed(file, add=(url,))
        change_listed(file, remove=(url,))
    change_listed(file, add=(url,))


def test_several_at_once_lose_nothing(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_come_and_go, args=(file, url)) for url in (A, B, C)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert set(read_listed(file).servers) == {A, B, C}

"""What speculation accepted in earlier runs is remembered, by kind of server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launcher.metrics.alarms import Baseline
from launcher.supervision.watches.acceptance_history import AcceptanceHistory

USUAL = Baseline(3.25, 0.5, "of this server's first requests")


def test_a_baseline_is_read_back_by_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "state" / "acceptance.json"
    AcceptanceHistory(file).keep("one", USUAL)
    AcceptanceHistory(file).keep("other", Baseline(1.5, 0.0, ""))
    again = AcceptanceHistory(file)
    assert again.read("one") == Baseline(3.25, 0.5, "in an earlier run")
    assert again.read("third") is None
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"usual": {"one": {"acceptance_length": 0}}}'])
def test_what_is_no_history_is_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "acceptance.json"
    file.write_text(content)
    history = AcceptanceHistory(file)
    assert history.read("one") is None
    history.keep("one", USUAL)
    assert history.read("one") is not None


def test_what_another_version_wrote_stays(tmp_path: Path) -> None:
    file = tmp_path / "acceptance.json"
    file.write_text(json.dumps({"schema_version": 2, "usual": {}}))
    before = file.read_bytes()
    history = AcceptanceHistory(file)
    history.keep("one", USUAL)
    assert history.read("one") is None
    assert file.read_bytes() == before


def test_what_is_no_number_is_not_kept(tmp_path: Path) -> None:
    history = AcceptanceHistory(tmp_path / "acceptance.json")
    history.keep("one", Baseline(float("nan"), 0.0, ""))
    assert history.read("one") is None

"""The table of faults names each fault once, and tests that exist."""

from __future__ import annotations

import re

from tests.project import PROJECT

TABLE = (PROJECT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", TABLE, re.MULTILINE)
# What the table itself says is missing.
WITHOUT_TEST = {12}


def test_every_fault_has_its_row() -> None:
    numbers = [int(number) for cell, _ in ROWS for number in cell.split(",")]
    assert numbers == list(range(1, 41))


def test_every_row_names_tests_that_exist() -> None:
    known = {
        f"{file.stem}.{name}"
        for file in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for cell, row in ROWS:
        named = re.findall(r"`(test_\w+\.test_\w+)`", row)
        assert named or {int(number) for number in cell.split(",")} <= WITHOUT_TEST, row
        assert set(named) <= known, set(named) - known

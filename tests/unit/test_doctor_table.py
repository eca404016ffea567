"""The table of docs/doctor.md is the probes' own, row for row."""

from __future__ import annotations

import re

from launcher.doctor.probes import GROUPS, Probe
from launcher.doctor.table import PROBES
from tests.project import PROJECT

DOCUMENT = PROJECT / "docs" / "doctor.md"


def row_of(probe: Probe) -> str:
    cells = (f"`{probe.name}`", probe.group, probe.amber, probe.red, probe.remedy, probe.source)
    return f"| {' | '.join(cells)} |"


def test_the_table_has_every_probe_with_its_own_words_and_no_other() -> None:
    table = re.findall(r"^\| `.*$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    expected = sorted(PROBES, key=lambda probe: GROUPS.index(probe.group))

    assert table == [row_of(probe) for probe in expected]


def test_every_probe_has_a_name_of_its_own_and_what_is_not_green_a_remedy() -> None:
    names = [probe.name for probe in PROBES]
    assert len(set(names)) == len(names)
    for probe in PROBES:
        assert (probe.remedy == "-") == (probe.amber == probe.red == "-"), probe.name
        assert probe.source != "-", probe.name

"""The page: complete, offline, the same every time. Whether it looks right: test_report_browser."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from benchmarks.errors import StorageError
from benchmarks.records import Load
from benchmarks.report.files import write_plots
from benchmarks.report.html import to_html
from benchmarks.report.plots.draw import draw, draw_overviews
from benchmarks.report.plots.panels_time import _lanes, _merged, shown_loads
from benchmarks.report.plots.svg import ARM_COLOURS, THEME
from tests.unit.benchmarks.report.samples import VERDICT, sample_report

SMALL: dict[str, Any] = {
    "workloads": ("chat",),
    "loads": (Load(concurrency=1), Load(concurrency=8)),
    "rounds": 2,
}
SIZE_LIMIT_BYTES = 1_500_000


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@cache
def small_page() -> str:
    return to_html(sample_report(**SMALL))


def test_every_plot_is_in_the_page_with_words_for_those_who_do_not_see() -> None:
    report = sample_report(**SMALL)
    page = Page(small_page())

    images = [attributes for tag, attributes in page.tags if tag == "svg"]

    assert [one["data-plot"] for one in images] == [
        "speedup-1-chat",
        "throughput-1-chat",
        "ttft-1-chat",
        "tpot-1-chat",
        "e2e-1-chat",
        "accepted-1-chat",
        "acceptance-1-chat",
        "peers-output",
        "peers-ttft",
        "peers-tpot",
        "timeline",
    ]
    assert {one["role"] for one in images} == {"img"}
    speedup = report.speedup("eagle-3-1-4", "chat", Load(concurrency=8))
    assert speedup is not None
    assert f"eagle-3-1-4 {speedup.speedup.value:.2f} (" in (images[0]["aria-label"] or "")
    assert all((one["aria-label"] or "").endswith(".") for one in images)
    assert VERDICT in page.words


def test_the_page_refers_to_nothing_outside_of_itself() -> None:
    text = small_page()
    page = Page(text)
    names = {a["id"] for _, a in page.tags if "id" in a}

    assert {tag for tag, _ in page.tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "base",
    } == (set())
    for _, attributes in page.tags:
        assert not attributes.keys() & {"src", "srcset", "action", "data", "poster"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "xlink:href"):
            target = attributes.get(name) or "#"
            assert target == "#" or target.removeprefix("#") in names
            assert target.startswith("#")
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "@import" not in text
    assert "//" not in re.sub(r"http://127\.0\.0\.1", "", text)
    assert "default-src 'none'" in text


def test_no_two_elements_have_one_id_and_all_that_are_used_exist() -> None:
    text = small_page()
    ids = [a["id"] for _, a in Page(text).tags if "id" in a]

    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_the_same_report_gives_the_same_bytes_whatever_matplotlib_was_told() -> None:
    report = sample_report(**SMALL)

    with mpl.rc_context({"font.size": 31.0, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        assert to_html(report) == small_page()
        assert mpl.rcParams["font.size"] == 31.0


def test_names_are_text_and_never_markup() -> None:
    name = '<b onload="x">&amp;$\\alpha$'
    text = to_html(sample_report(**SMALL | {"workloads": (name,)}))
    page = Page(text)

    assert "b" not in [tag for tag, a in page.tags if "onload" in a]
    assert name in page.words
    assert any(name in (a.get("aria-label") or "") for tag, a in page.tags if tag == "svg")


def test_a_large_run_makes_a_page_that_can_be_sent() -> None:
    report = sample_report(arms=("plain", "eagle-3-1-4", "ngram"), rounds=10)

    assert len(to_html(report).encode()) < SIZE_LIMIT_BYTES


def test_an_arm_has_one_colour_in_all_plots() -> None:
    report = sample_report(**SMALL, arms=("plain", "x", "y"))
    plots = {plot.name: plot.svg for plot in draw(report)}

    for name in ("throughput-1-chat", "ttft-1-chat", "timeline"):
        assert {f"var(--arm{n})" for n in range(3)} <= set(
            re.findall(r"var\(--arm\d\)", plots[name])
        )
    assert "var(--arm0)" not in plots["speedup-1-chat"]
    assert "var(--arm2)" in plots["acceptance-1-chat"]
    # None is drawn in a colour that the dark page does not know.
    assert not re.search(r"#[0-9a-f]{6}", " ".join(plots.values()))


def test_colours_can_be_told_apart_and_none_is_in_the_theme_twice() -> None:
    for place in (1, 2):
        assert len({row[place] for row in THEME}) == len(THEME)
    assert set(ARM_COLOURS) <= {light for _, light, _ in THEME}


def test_a_report_that_misses_something_has_no_empty_part() -> None:
    page = Page(to_html(sample_report(**SMALL, arms=("plain",), peers=False, failures=True)))
    sections = [a["id"] for tag, a in page.tags if tag == "section"]

    assert sections == [
        "missing",
        "throughput",
        "latency",
        "figures",
        "timeline",
        "workloads",
        "repeat",
        "formulas",
    ]


def test_open_loops_are_not_joined_to_closed_ones() -> None:
    loads = (Load(concurrency=1), Load(concurrency=2), Load(rate_per_second=2.0))
    plots = {plot.name: plot.svg for plot in draw(sample_report(**SMALL | {"loads": loads}))}

    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--arm0\)', plots["throughput-1-chat"])
    line = max(paths, key=len)
    # One stroke of two points, and the third alone.
    assert line.count("L ") <= 1
    assert "concurrency, r requests/s" in plots["throughput-1-chat"]


def test_plots_are_written_as_files_of_their_own(tmp_path: Path) -> None:
    report = sample_report(**SMALL | {"workloads": ("chat", "my/own file.jsonl")})

    written = write_plots(report, tmp_path / "plots")

    names = {file.stem for file in written}
    assert {"speedup-all", "throughput-all", "timeline", "speedup-2-my-own-file-jsonl"} <= names
    assert names == {plot.name for plot in (*draw_overviews(report), *draw(report))}
    for file in written:
        root = ET.parse(file).getroot()  # noqa: S314 - our own file
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float((root.get("width") or "").removesuffix("pt")) > 100
        text = file.read_text()
        assert "prefers-color-scheme: dark" in text
        assert set(re.findall(r'https?://[^"]*', text)) == {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }


def test_a_plot_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("")

    with pytest.raises(StorageError):
        write_plots(sample_report(**SMALL), tmp_path / "plots")


def test_of_many_loads_the_ends_and_what_lies_between_are_shown() -> None:
    loads = [Load(concurrency=2**n) for n in range(7)]

    assert [load.concurrency for load in shown_loads(loads)] == [1, 4, 16, 64]
    assert shown_loads(loads[:2]) == loads[:2]


def test_requests_in_flight_at_once_lie_above_one_another() -> None:
    lanes = _lanes([(0, 2, "successful"), (1, 3, "errored"), (2, 4, "successful"), (5, 6, "x")])

    assert lanes == [[(0, 2), (2, 4), (5, 6)], [(1, 3)]]
    assert _merged(lanes[0], 0.5) == [(0, 4), (5, 6)]
    assert _merged(lanes[0], 1.5) == [(0, 6)]

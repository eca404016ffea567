"""The page in a real browser, from the disk: every plot is there, and nothing sticks out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from benchmarks.records import Load
from benchmarks.report.html import to_html
from benchmarks.report.plots.draw import draw
from tests.unit.benchmarks.report.samples import sample_report

# Long names, which are what sticks out first.
OPTIONS: dict[str, Any] = {
    "workloads": ("chat", "prompts/of-a-customer-with-a-long-name_and_no_space.jsonl"),
    "loads": (Load(concurrency=1), Load(concurrency=8), Load(rate_per_second=2.5)),
    "arms": ("plain", "eagle-3-1-4", "an-arm-with-a-name-that-is-64-letters-long-" + "x" * 21),
    "rounds": 3,
    "failures": True,
}
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--disable-dev-shm-usage", "--force-device-scale-factor=1"),
    "--virtual-time-budget=5000",
)
CHROMIUM = "Install a browser for this test: apt-get update && apt-get install -y chromium"
# The headless window is no narrower than 500 pixels; a frame can be.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><style>body{{margin:0}}iframe{{border:0}}</style>
<iframe src="page.html" width="{width}" height="3000"></iframe><pre id="found"></pre>
<script>addEventListener("message", e => {{
  document.getElementById("found").textContent = e.data
}})</script>
"""
MEASURE = """<script>addEventListener("load", () => {
  const box = e => { const r = e.getBoundingClientRect();
    return {left: r.left, right: r.right, width: r.width, height: r.height} }
  const scrolls = e => !!e.closest(".scroll")
  const all = [...document.body.querySelectorAll("*")]
  const plots = [...document.querySelectorAll("svg[data-plot]")]
  parent.postMessage(JSON.stringify({
    width: document.documentElement.clientWidth,
    scrollWidth: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    plots: plots.map(e => ({name: e.dataset.plot, visible: e.checkVisibility(), ...box(e)})),
    outside: all.filter(e => !e.closest("svg") && !scrolls(e) && box(e).width > 0
      && (box(e).right > document.documentElement.clientWidth + 1 || box(e).left < -1))
      .map(e => e.tagName + "." + e.className),
    cut: plots.flatMap(svg => [...svg.querySelectorAll("text")]
      .filter(t => { const a = box(t), b = box(svg);
        return a.left < b.left - 1 || a.right > b.right + 1 })
      .map(t => svg.dataset.plot + ": " + t.textContent)),
  }), "*")
})</script>"""


@pytest.fixture(scope="module")
def page() -> str:
    return to_html(sample_report(**OPTIONS))


def run_chromium(folder: Path, file: Path, *arguments: str) -> str:
    """What it prints."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail(CHROMIUM)
    done = subprocess.run(
        [program, *ARGUMENTS, f"--user-data-dir={folder / 'profile'}", *arguments, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def measure(folder: Path, page: str, width: int, *arguments: str) -> dict[str, Any]:
    """Boxes of everything in a frame of a width in pixels.

    The copy that is measured may run a script; the page itself forbids them all.
    """
    without_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert without_policy != page
    (folder / "page.html").write_text(without_policy.replace("</body>", f"{MEASURE}</body>"))
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width))
    printed = run_chromium(folder, frame, "--window-size=1300,3000", *arguments, "--dump-dom")
    found = re.search(r'<pre id="found">(.+?)</pre>', printed, re.DOTALL)
    assert found is not None, printed[-2000:]
    measured: dict[str, Any] = json.loads(html.unescape(found[1]))
    return measured


def screenshot(folder: Path, page: str, *arguments: str) -> Any:
    """Pixels, shape [height, width, 3], 0 to 1."""
    file, picture = folder / "report.html", folder / "picture.png"
    file.write_text(page)
    run_chromium(folder, file, "--window-size=1280,2400", *arguments, f"--screenshot={picture}")
    return matplotlib.image.imread(picture)[:, :, :3]


@pytest.mark.parametrize("width", [400, 1280])
def test_every_plot_is_seen_and_nothing_sticks_out(tmp_path: Path, page: str, width: int) -> None:
    found = measure(tmp_path, page, width)

    assert found["width"] == width
    assert [one["name"] for one in found["plots"]] == re.findall(r'data-plot="([^"]+)"', page)
    assert {one.name for one in draw(sample_report(**OPTIONS))} == {
        one["name"] for one in found["plots"]
    }
    for one in found["plots"]:
        assert one["visible"], one
        assert one["width"] >= 250, one
        assert one["height"] >= 100, one
    assert found["scrollWidth"] <= width
    assert found["outside"] == []
    assert found["cut"] == []


def test_the_page_is_dark_where_the_reader_s_system_is(tmp_path: Path, page: str) -> None:
    dark = measure(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=0")
    light = measure(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=1")

    assert dark["background"] == "rgb(21, 25, 31)"
    assert light["background"] == "rgb(255, 255, 255)"


@pytest.mark.parametrize(("scheme", "paper"), [(0, (21, 25, 31)), (1, (255, 255, 255))])
def test_the_picture_of_the_page_is_not_blank(
    tmp_path: Path, page: str, scheme: int, paper: tuple[int, int, int]
) -> None:
    pixels = (
        screenshot(tmp_path, page, f"--blink-settings=preferredColorScheme={scheme}") * 255
    ).round()

    assert pixels.shape[1] == 1280
    is_paper = (pixels == np.array(paper)).all(axis=2)
    assert 0.5 < is_paper.mean() < 0.98
    # Both candidates' colours are in it, as the theme has them.
    for colour in (
        ((0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73))
        if scheme
        else (
            (0xFF, 0x90, 0x47),
            (0x35, 0xCF, 0xA0),
        )
    ):
        assert (pixels == np.array(colour)).all(axis=2).sum() > 100

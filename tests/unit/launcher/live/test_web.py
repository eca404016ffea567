"""The page: whom it answers, and what it looks like in a real browser."""

from __future__ import annotations

import html
import http.client
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launcher.errors import PortInUseError
from launcher.live.snapshot import Snapshot
from launcher.live.web.server import page_server
from tests.unit.launcher.live.scenes import PAYS, SENTENCE, server, snapshot

CHROMIUM = "Install a browser for this test: apt-get update && apt-get install -y chromium"
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--disable-dev-shm-usage", "--force-device-scale-factor=1"),
    "--virtual-time-budget=5000",
)
HOSTILE = "<img src=x onerror=\"document.title='hurt'\">"
LONG = "a-name-that-is-64-letters-long-" + "x" * 33


class Page:
    """The page's server; what it shows can be changed."""

    def __init__(self) -> None:
        self.looker: Any = SimpleNamespace(newest=None, check=lambda: None)
        self.port = 0

    def show(self, shown: Snapshot) -> None:
        self.looker.newest = shown

    def ask(
        self, path: str = "/snapshot.json", method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()
    with page_server(made.looker, 0) as listening:
        made.port = listening.server_port
        assert listening.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield made
        listening.shutdown()
        thread.join()


def test_it_gives_the_page_and_what_is_known(page: Page) -> None:
    assert json.loads(page.ask()[2]) is None
    page.show(snapshot(server()))

    said = json.loads(page.ask()[2])

    assert said["servers"][0]["figures"]["running_requests"] == 9
    status, headers, body = page.ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<script src=" in body
    assert page.ask("/", "HEAD")[2] == b""
    assert page.ask("/../server.py")[0] == 404
    assert page.ask("/favicon.ico")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_sites_and_other_names_are_refused(page: Page, headers: dict[str, str]) -> None:
    page.show(snapshot(server()))
    told = {name: value.format(port=page.port) for name, value in headers.items()}

    for path in ("/", "/snapshot.json"):
        status, _, body = page.ask(path, **told)
        assert (status, body) == (403, b"")


def test_its_own_page_may_ask(page: Page) -> None:
    for host in ("127.0.0.1", "localhost"):
        address = f"{host}:{page.port}"
        own = {"Host": address, "Origin": f"http://{address}", "Sec_Fetch_Site": "same-origin"}
        assert page.ask("/", **own)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_it_only_reads(page: Page, method: str) -> None:
    assert page.ask("/snapshot.json", method)[0] == 501


def test_nothing_of_it_comes_from_elsewhere(page: Page) -> None:
    for path in ("/", "/page.css", "/page.js"):
        _, headers, body = page.ask(path)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        addresses = set(re.findall(rb"(?:https?:)?//[\w.]+", body)) - {b"http://www.w3.org"}
        assert not [one for one in addresses if one.startswith(b"http")]
        assert b"innerHTML" not in body


def test_a_port_that_is_taken_is_said(page: Page) -> None:
    with pytest.raises(PortInUseError, match=str(page.port)), page_server(page.looker, page.port):
        pass


def browse(folder: Path, url: str, *arguments: str) -> str:
    """What the browser prints."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail(CHROMIUM)
    done = subprocess.run(
        [program, *ARGUMENTS, f"--user-data-dir={folder / 'profile'}", *arguments, url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# Taken while the page is shown: its own script would be a guest there.
MEASURE = """
addEventListener("load", () => setInterval(() => {
  const width = document.documentElement.clientWidth
  const box = e => e.getBoundingClientRect()
  document.documentElement.dataset.found = JSON.stringify({
    width, scroll: document.documentElement.scrollWidth,
    paper: getComputedStyle(document.body).backgroundColor,
    outside: [...document.body.querySelectorAll("*")]
      .filter(e => !e.closest("svg") && !e.closest("#overview") && box(e).width > 0
        && (box(e).right > width + 1 || box(e).left < -1)).map(e => e.tagName + "." + e.className),
    charts: [...document.querySelectorAll("svg")].map(e => box(e).height) })
}, 200))
"""


@pytest.fixture
def measured(page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The page at a width, with a script that measures it in the place of one of its files."""
    script = tmp_path / "page.js"
    own = Path("launcher/live/web/page.js")
    script.write_text(own.read_text(encoding="utf-8") + MEASURE)
    for name in ("page.html", "page.css"):
        (tmp_path / name).write_bytes(own.with_name(name).read_bytes())
    monkeypatch.setattr("launcher.live.web.server.files", lambda _package: tmp_path)

    def measure(width: int, *arguments: str) -> tuple[str, dict[str, Any]]:
        # The headless window is no narrower than 500 pixels.
        printed = browse(
            tmp_path,
            f"http://127.0.0.1:{page.port}/",
            f"--window-size={width},2000",
            *arguments,
            "--dump-dom",
        )
        found = re.search(r'data-found="([^"]+)"', printed)
        assert found is not None, printed[-2000:]
        known: dict[str, Any] = json.loads(html.unescape(found[1]))
        return printed, known

    return measure


@pytest.mark.parametrize("width", [500, 1280])
def test_all_is_seen_and_nothing_sticks_out(page: Page, measured: Any, width: int) -> None:
    page.show(
        snapshot(
            server(last_failure="It hung.", alarm="Fewer.", restarts=2, routed=True),
            server(name=LONG, verdict=None, problem="/metrics: " + "x" * 120, state="UNHEALTHY"),
        )
    )

    printed, found = measured(width)

    assert html.escape(SENTENCE, quote=False) in printed
    for said in ("2.41", "benchmark 2.45", "needs 1.82 to pay", "45 % of prompt tokens hit"):
        assert said in printed, said
    assert found["width"] == width
    assert found["scroll"] <= width
    assert found["outside"] == []
    # The second server has no verdict, and so no figures that could be drawn.
    assert len(found["charts"]) == 3
    assert all(height >= 40 for height in found["charts"])


def test_names_and_failures_are_shown_as_text(page: Page, tmp_path: Path) -> None:
    hostile = server(
        name=HOSTILE,
        last_failure=HOSTILE,
        alarm=HOSTILE,
        verdict=PAYS.__class__("unknown", HOSTILE),
    )
    page.show(snapshot(hostile, problems=(HOSTILE,)))

    printed = browse(tmp_path, f"http://127.0.0.1:{page.port}/", "--dump-dom")

    assert "<title>specserve top</title>" in printed
    assert "<img" not in printed
    assert printed.count("&lt;img src=x") >= 4


@pytest.mark.parametrize(("scheme", "paper"), [(0, "rgb(21, 25, 31)"), (1, "rgb(255, 255, 255)")])
def test_it_is_dark_where_the_reader_s_system_is(
    page: Page, measured: Any, scheme: int, paper: str
) -> None:
    page.show(snapshot(server()))

    _, found = measured(1280, f"--blink-settings=preferredColorScheme={scheme}")

    assert found["paper"] == paper


def test_an_empty_machine_says_how_to_start(page: Page, tmp_path: Path) -> None:
    page.show(snapshot())

    assert "No server runs here" in browse(tmp_path, f"http://127.0.0.1:{page.port}/", "--dump-dom")

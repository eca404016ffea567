"""The screen at every size: what matters comes first, and nothing is wider than the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group

from launcher.cli.display.top import words
from launcher.cli.display.top.keyboard import name_keys
from launcher.cli.display.top.lines import one_line
from launcher.cli.display.top.screen import NOTHING, screen
from launcher.cli.display.top.view import View, ordered, press
from launcher.live.snapshot import ServerSnapshot, Snapshot, Usage
from launcher.metrics.figures import Acceptance, Figures
from tests.unit.launcher.live.scenes import BUSY, PAYS, SENTENCE, server, snapshot

MANY = [
    server(name=f"fleet-{number}", fleet="fleet", role="replica", routed=True)
    for number in range(30)
]


def text(
    shown: Snapshot | None, view: View | None = None, width: int = 80, height: int = 24
) -> list[str]:
    lines = screen(shown, view or View(), width=width, height=height)
    console = Console(width=width, height=height, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(Group(*lines))
    return captured.get().splitlines()


def test_80_by_24_suffices_for_all_that_is_known_of_one_server() -> None:
    ill = server(restarts=2, last_failure="It hung.", alarm="It accepts less.")
    lines = text(snapshot(ill))
    assert any("alarm" in line and "It accepts less." in line for line in lines)
    shown = "\n".join(lines)

    assert len(lines) == 24
    assert SENTENCE.replace(" ", "") in shown.replace("\n", "").replace(" ", "")
    for said in (
        *("2.41 tokens a step", "benchmark 2.45", "needs 1.82", "3 steps, 4 tokens"),
        *("9 running, 3 waiting", "expected wait 1.50 s", "312/s out", "45/s in"),
        *("66 ms median", "120 ms p90", "1.18 s p99", "23 % used of 65,536", "12 % evictable"),
        *("45 % of prompt tokens", "65.0 GiB of 140.0 GiB", "97 % busy", "512 W"),
        *(
            "1.80 processor cores",
            "2 restarts",
            "It hung.",
            "5 since its start",
            "of 60 s, from its files",
        ),
    ):
        assert said in shown, said
    assert lines[-1].startswith("q quit")


@given(
    width=st.integers(20, 250),
    height=st.integers(2, 70),
    count=st.integers(0, 30),
    sort=st.sampled_from(["name", "running", "KV cache"]),
)
def test_nothing_is_wider_or_longer_than_the_terminal(
    width: int, height: int, count: int, sort: str
) -> None:
    view = View(sort=sort, selected="fleet-7")
    lines = screen(snapshot(*MANY[:count]), view, width=width, height=height)
    console = Console(width=width, height=height, color_system=None, force_terminal=True)

    assert len(lines) == height
    for line in lines:
        assert len(console.render_lines(line, console.options)) == 1, line.plain


def test_the_selected_server_stays_in_view_among_many() -> None:
    shown = text(snapshot(*MANY), View(selected="fleet-21"))

    assert any(line.startswith("> fleet-21") for line in shown)
    assert "270 running, 90 waiting, 9,372/s out" in "".join(text(snapshot(*MANY), width=120))
    assert any(line.startswith("fleet-21  READY") for line in shown)
    assert any("gets requests: yes" in line for line in text(snapshot(*MANY[:1])))


def test_five_servers_fit_with_what_went_wrong_on_one() -> None:
    ill = server(name="fleet-1", restarts=2, last_failure="It hung.", routed=True)
    shown = text(snapshot(ill, *MANY[2:6]), View(selected="fleet-1"))

    assert len(shown) == 24
    for said in (
        "> fleet-1",
        "fleet-5",
        "2.41 tokens a step",
        "retractions 2",
        "2 restarts",
        "It hung.",
    ):
        assert any(said in line for line in shown), said


def test_a_terminal_without_other_characters_gets_ascii() -> None:
    lines = screen(snapshot(server()), View(), width=100, height=40, ascii_only=True)

    body = "".join(line.plain for line in lines[:-1])
    assert body.isascii()
    assert "####" in body


def test_what_cannot_be_shown_is_said() -> None:
    assert "Looking ..." in text(None)[0]
    assert NOTHING in text(snapshot())[2]
    assert "broken" in "\n".join(text(snapshot(problems=("a record is broken",))))
    lost = server(verdict=None, problem="/metrics: Connection refused", usage=Usage())
    assert "/metrics: Connection refused" in "\n".join(text(snapshot(lost)))
    starting = server(state="STARTING", phase="loading weights 12 of 46", verdict=None)
    assert "STARTING (loading weights 12 of 46) for 14 min" in "\n".join(text(snapshot(starting)))


def test_a_decay_is_told_in_words_as_well_as_in_colour() -> None:
    decayed = server(verdict=replace(PAYS, has_decayed=True))

    lines = screen(snapshot(decayed), View(), width=100, height=40)

    line = next(line for line in lines if line.plain.startswith("acceptance"))
    assert "decayed" in line.plain
    assert any("red" in str(span.style) for span in line.spans)


def test_an_engine_that_tells_nothing_has_dashes() -> None:
    shown = "\n".join(text(snapshot(server(figures=Figures()))))

    assert "- running, - waiting" in shown
    assert "EAGLE 3/1/4; it does not report its steps" in shown
    assert "- tokens a step" in shown


def test_without_speculation_there_is_no_line_of_it() -> None:
    plain = server(speculation="off", verdict=replace(PAYS, kind="off", sentence="It is off."))

    assert not [line for line in text(snapshot(plain)) if line.startswith(("acceptance", "drafts"))]


def test_a_pipe_gets_one_line() -> None:
    assert one_line(server()) == (
        "one  READY  running 9  waiting 3  out 312/s  in 45/s  acceptance 2.41  "
        "first token 66 ms  output token 21 ms  KV 23 %  restarts 0  speculation pays 1.7x"
    )
    assert one_line(server(verdict=None, state="STARTING", phase="KV cache")) == (
        "one  STARTING  KV cache"
    )


def with_figures(name: str, **changed: float) -> ServerSnapshot:
    return server(name=name, figures=replace(BUSY, **changed))  # type: ignore[arg-type]


SERVERS = (
    with_figures("b", running_requests=5, waiting_requests=0),
    with_figures("a", running_requests=1, waiting_requests=7),
    server(name="c", figures=replace(BUSY, running_requests=None, acceptance=Acceptance())),
)


def names(view: View) -> list[str]:
    return [one.name for one in ordered(SERVERS, view)]


def test_keys_sort_choose_pause_and_quit() -> None:
    view = View()
    assert names(view) == ["a", "b", "c"]

    by_running = press("s", view, SERVERS)
    assert names(by_running) == ["b", "a", "c"]
    assert names(press("s", by_running, SERVERS))[0] == "a"
    around = view
    for _ in range(6):
        around = press("s", around, SERVERS)
    assert around == view

    shown = ordered(SERVERS, view)
    assert press("down", view, shown).selected == "b"
    assert press("up", view, shown).selected == "c"
    assert press("2", view, shown).selected == "b"
    assert press("9", view, shown) == view
    assert press("p", view, shown).paused
    assert not press("p", press(" ", view, shown), shown).paused
    assert press("enter", view, shown).alone
    assert not press("escape", press("enter", view, shown), shown).alone
    assert press("q", view, shown).over
    assert press("x", view, shown) == view
    assert press("down", view, []) == view


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1b[B", ["up", "down"]),
        ("\x1bOA", ["up"]),
        ("\x1b", ["escape"]),
        ("\r", ["enter"]),
        # Page down, a mouse, Alt-x: none of ours.
        ("\x1b[6~j", ["j"]),
        ("\x1b[<0;12;5Mq", ["q"]),
        ("\x1bxq", ["q"]),
        ("äq", ["ä", "q"]),
    ],
)
def test_what_a_terminal_sends_becomes_keys(sent: str, wanted: list[str]) -> None:
    assert name_keys(sent) == wanted


@given(st.text(max_size=40))
def test_whatever_is_sent_becomes_keys_without_an_error(sent: str) -> None:
    view = View()
    for key in name_keys(sent):
        view = press(key, view, SERVERS)
    assert view.sort in {"name", "running", "waiting", "tokens", "acceptance", "KV cache"}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (words.latency(0.0004), "0.4 ms"),
        (words.latency(0.0662), "66 ms"),
        (words.latency(0.99951), "1.00 s"),
        (words.latency(250), "4 min 10 s"),
        (words.rate(9.96), "10.0"),
        (words.rate(1234.5), "1,234"),
        (words.rate(0.31), "0.3"),
        (words.percent(0.001), "<1 %"),
        (words.percent(0), "0 %"),
        (words.age(59.9), "59 s"),
        (words.age(7300), "2 h"),
        (words.count(None), "-"),
        ("".join(words.bar(0.001, 4)), "█░░░"),
        (words.sparkline([1, None, 4, 9], 8, lowest=1, highest=4), "▁ ██"),
    ],
)
def test_figures_are_short(said: str, wanted: str) -> None:
    assert said == wanted

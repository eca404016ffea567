"""What a person sees, and what a program reads."""

from __future__ import annotations

import io
import json
import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from launcher.cli.display.progress import (
    StartDisplay,
    show_config,
    show_error,
    show_ready,
    show_stop,
)
from launcher.config.server_config import ServerConfig
from launcher.engines.phases import Phase
from launcher.errors import PortInUseError
from launcher.state.events import (
    Event,
    PhaseProgress,
    ServerFailed,
    ServerReady,
    ServerStopped,
    StateChanged,
)
from launcher.state.states import ServerState
from launcher.supervision.stop import StopReport
from tests.unit.launcher.examples import SECRET, make_config

WIDTH = 100


def terminal(*, colours: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=WIDTH,
        color_system="standard" if colours else None,
    )


def piped() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=WIDTH)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def last_picture(console: Console) -> list[str]:
    """What stands on the screen in the end: a tiny terminal for what rich's live display sends."""
    screen = [""]
    row = 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written(console)):
        if part == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1])
        elif part == "\x1b[2K":
            screen[row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            screen[row] += part
    return [re.sub(r"\d+\.\d s", "N s", line).rstrip() for line in screen if line.strip()]


def phase(name: str, done: int | None = None, total: int | None = None) -> PhaseProgress:
    return PhaseProgress(run_id="r", elapsed_seconds=0.0, phase=name, done=done, total=total)


def ready(**fields: object) -> ServerReady:
    known: dict[str, object] = {
        "run_id": "r",
        "elapsed_seconds": 71.2,
        "base_url": "http://127.0.0.1:8000",
        "served_model_name": "nano",
        "context_length_tokens": 8192,
        "kv_cache_tokens": 65536,
        "max_running_requests": 32,
        "speculation": "EAGLE 3/1/4",
    }
    return ServerReady(**{**known, **fields})  # type: ignore[arg-type]


def failed() -> ServerFailed:
    return ServerFailed(
        run_id="r",
        elapsed_seconds=1.0,
        error="ServerExitedError",
        exit_code=43,
        problem="It ended.",
        action="Read.",
        evidence=(),
    )


def play(console: Console, *events: Event, quiet: bool = False) -> None:
    display = StartDisplay(console, quiet=quiet)
    with display.show():
        for event in events:
            display.feed(event)


# --- a start -----------------------------------------------------------------------------------


def test_a_start_shows_each_phase_with_its_time_and_its_count() -> None:
    console = terminal()

    play(
        console,
        StateChanged(run_id="r", elapsed_seconds=0.0, state=ServerState.STARTING),
        phase(Phase.IMPORTING),
        phase(Phase.WEIGHTS),
        phase(Phase.WEIGHTS, 1, 46),
        phase(Phase.WEIGHTS, 46, 46),
        phase(Phase.KV_CACHE),
        phase(Phase.WARM_UP),
        ready(),
    )

    assert last_picture(console) == [
        "✓ importing the engine   N s",
        "✓ loading weights        N s 46 of 46 ━━━━━━━━━━━━━━━━━━━━━━━━",
        "✓ KV cache               N s",
        "✓ warm-up                N s",
    ]


def test_a_count_that_is_complete_does_not_end_its_phase() -> None:
    console = terminal()

    play(console, phase(Phase.WEIGHTS, 2, 2), failed())

    [line] = last_picture(console)
    assert "2 of 2" in line
    # The phase may go on after it: a spinner turns, and the clock runs.
    assert "✓" not in line


def test_a_phase_in_which_the_start_failed_is_not_ticked_off() -> None:
    console = terminal()

    play(console, phase(Phase.IMPORTING), phase(Phase.GRAPHS, 1, 5), failed())

    first, second = last_picture(console)
    assert first == "✓ importing the engine   N s"
    assert "✓" not in second
    assert "graphs                 N s 1 of 5 ━" in second


def test_a_start_that_was_stopped_ends_the_picture() -> None:
    console = terminal()

    play(
        console,
        phase(Phase.IMPORTING),
        ServerStopped(run_id="r", elapsed_seconds=1.0, killed=False),
    )

    assert "✓" not in "".join(last_picture(console))
    # The cursor is shown again.
    assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")


def test_a_start_that_failed_before_its_first_phase_shows_nothing() -> None:
    console = terminal()

    play(console, ready())

    assert last_picture(console) == []


@pytest.mark.parametrize("quiet", [True, False])
def test_a_start_into_a_pipe_shows_nothing(*, quiet: bool) -> None:
    console = piped()

    play(console, phase(Phase.IMPORTING), phase(Phase.WEIGHTS, 1, 2), ready(), quiet=quiet)

    assert written(console).strip() == ""


def test_a_quiet_start_shows_nothing() -> None:
    console = terminal()

    play(console, phase(Phase.IMPORTING), phase(Phase.WEIGHTS, 1, 2), ready(), quiet=True)

    assert written(console).strip() == ""


# --- ready -------------------------------------------------------------------------------------


def show(console: Console, event: ServerReady, config: ServerConfig | None = None) -> str:
    show_ready(
        console,
        event,
        config=config or make_config(),
        log_file=Path("/state/[b]/server.log"),
        hint="Ctrl-C [stops] it.",
    )
    return written(console)


def test_a_ready_server_is_shown_with_how_to_call_it() -> None:
    text = show(terminal(), ready())

    assert [line.rstrip() for line in text.splitlines()] == [
        "",
        "Ready in 1 min 11 s.",
        "",
        "endpoint        http://127.0.0.1:8000/v1",
        "model           nano",
        "context length  8,192 tokens",
        "KV cache        65,536 tokens",
        "speculation     EAGLE 3/1/4",
        "log             /state/[b]/server.log",
        "",
        "Try it:",
        "",
        "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\",
        "    -d '"
        + json.dumps(
            {
                "model": "nano",
                "max_tokens": 64,
                "messages": [{"role": "user", "content": "Hello"}],
            }
        )
        + "'",
        "",
        "Ctrl-C [stops] it.",
    ]


def test_what_the_server_did_not_tell_is_unknown() -> None:
    text = show(terminal(), ready(context_length_tokens=None, kv_cache_tokens=None))

    assert "context length  unknown" in text
    assert "KV cache        unknown" in text


def test_a_program_reads_the_url_and_nothing_else() -> None:
    assert show(piped(), ready()) == "http://127.0.0.1:8000/v1\n"


@pytest.mark.parametrize("address", ["::1", "fd00::1", "bold::1"])
@pytest.mark.parametrize("console", [terminal, piped])
def test_an_address_in_brackets_is_no_markup(console: type[Console], address: str) -> None:
    assert f"http://[{address}]:8000/v1" in show(
        console(), ready(base_url=f"http://[{address}]:8000")
    )


def test_a_model_s_name_is_no_markup() -> None:
    assert "[red]:smile:" in show(terminal(), ready(served_model_name="[red]:smile:"))


def test_a_long_url_stays_on_one_line() -> None:
    url = f"http://{'a' * 200}.example:8000"

    assert show(piped(), ready(base_url=url)) == f"{url}/v1\n"


def test_a_shell_that_runs_the_call_sends_the_key(tmp_path: Path) -> None:
    file = tmp_path / "my keys" / "it's $HOME"
    file.parent.mkdir()
    file.write_text(f"{SECRET}\n")

    text = show(terminal(), ready(), make_config(api_key_file=file))

    call = text[text.index("printf") :].split("\n\n")[0]
    stand_in = 'curl() { for word in "$@"; do printf \'%s\\n\' "$word"; done; cat; }'
    done = subprocess.run(
        ["/bin/sh", "-c", f"{stand_in}\n{call}"], check=True, capture_output=True, text=True
    )
    url, _, header, _, _, _, body, key = done.stdout.splitlines()
    assert header == "@-"
    assert url == "http://127.0.0.1:8000/v1/chat/completions"
    assert key == f"Authorization: Bearer {SECRET}"
    assert json.loads(body)["model"] == "nano"
    assert SECRET not in text


# --- errors, configurations, stops ----------------------------------------------------------------


def an_error() -> PortInUseError:
    return PortInUseError(
        "Port 8000 is taken by process 1 ([init]).",
        action="Stop it.",
        evidence=("first [line]", "x" * 150),
    )


@pytest.mark.parametrize("console", [terminal, piped])
def test_an_error_is_a_sentence_its_evidence_and_what_to_do(console: type[Console]) -> None:
    shown = console()

    show_error(shown, an_error())

    assert written(shown) == (
        "error: Port 8000 is taken by process 1 ([init]).\n"
        "  | first [line]\n"
        f"  | {'x' * 150}\n"
        "  -> Stop it.\n"
    )


def test_colours_are_for_terminals_alone() -> None:
    coloured, plain = terminal(colours=True), piped()

    for console in (coloured, plain):
        show_error(console, an_error())

    assert "\x1b[1;31merror: " in written(coloured)
    assert "\x1b" not in written(plain)


def test_a_configuration_is_shown_with_where_each_field_came_from() -> None:
    config = make_config(port=8123, extra_args=("--a", "[b]"))
    sources = dict.fromkeys(ServerConfig.model_fields, "default") | {"port": "flag"}
    console = Console(file=io.StringIO(), width=200)

    show_config(console, config, sources, "no GPU was found ([x])")

    lines = [line.rstrip() for line in written(console).splitlines()]
    assert lines[0].split() == ["FIELD", "VALUE", "FROM", "MEANING"]
    rows = {line.split()[0]: line for line in lines[1:-2]}
    assert list(rows) == list(ServerConfig.model_fields)
    assert re.fullmatch(r"port +8123 +flag +Port to listen on\.", rows["port"])
    assert re.match(r"revision +- +default +Commit", rows["revision"])
    assert "('--a', '[b]')" in rows["extra_args"]
    assert lines[-1] == "Preset custom: no GPU was found ([x])."


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            StopReport("a", None, stopped=False, seconds=0.0),
            "No server named 'a' was ever started; nothing to stop.",
        ),
        (
            StopReport("a", "DEAD", stopped=False, seconds=0.0),
            "The server 'a' was not running (DEAD); nothing to stop.",
        ),
        (
            StopReport("a", "READY", stopped=True, seconds=2.04),
            "Stopped 'a' in 2.0 s: no process of it is left, and its port is closed.",
        ),
    ],
)
def test_a_stop_says_what_was_found_and_done(report: StopReport, text: str) -> None:
    console = piped()

    show_stop(console, report)

    assert written(console) == f"{text}\n"


def test_a_kv_cache_of_another_size_than_planned_is_shown_with_both() -> None:
    as_planned = show(terminal(), ready(planned_kv_cache_tokens=65536))
    smaller = show(terminal(), ready(planned_kv_cache_tokens=70000))

    assert "planned" not in as_planned
    assert "65,536 tokens; planned were 70,000" in smaller

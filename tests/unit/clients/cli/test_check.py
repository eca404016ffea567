"""`python -m clients check`: rows for people, a document for programs, exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from rich.console import Console

from clients.cli.check_display import show
from clients.conformance.run import Run
from clients.conformance.table import ALL, choose
from clients.conformance.wire import Wire
from tests.unit.clients.conformance.standin import Handler, standin


def run_check(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clients", "check", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )


def test_into_a_pipe_each_check_is_one_line_with_its_contract() -> None:
    with standin("line-break") as (url, _):
        done = run_check(url, "--only", "chat,models")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if "contract:" in line]
    assert len(lines) == len(choose(("chat", "models"), ()))
    (blamed,) = [line for line in lines if line.startswith("server")]
    assert "chat.line-break" in blamed
    assert "source: OpenAI" in blamed
    assert "\x1b" not in done.stdout


def test_the_document_holds_all_and_the_key_goes_into_the_header_alone() -> None:
    key = "sk-for-this-server-only"
    with standin() as (url, server):
        done = run_check(url, "--only", "chat.answer", "--json", SPECSERVE_API_KEY=key)
        seen = server.headers_seen[-1]["Authorization"]
    assert seen == f"Bearer {key}"
    assert done.returncode == 0
    assert key not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["schema_version"] == 1
    assert told["counts"]["kept"] == 1
    (line,) = told["checks"]
    assert (line["outcome"], line["blame"]) == ("kept", None)
    assert json.loads(line["exchanges"][0]["sent"])["model"] == "standin"
    assert json.loads(line["exchanges"][0]["received"])["object"] == "chat.completion"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--only", "no-such-check"], 2, "Groups: models, chat"),
        (["--only", "chat", "--skip", "chat"], 2, "No check is left"),
        (["http://user:pass@localhost"], 3, "user name or password"),
        (["http://127.0.0.1:9"], 3, "connection failed"),
        (["--name", "nobody"], 3, "No server named"),
        (["--timeout-seconds", "0"], 2, "timeout-seconds"),
    ],
)
def test_what_cannot_be_checked_is_said_and_has_a_code(
    arguments: list[str], code: int, said: str
) -> None:
    done = run_check(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_sends_nothing() -> None:
    done = run_check("--list")
    assert done.returncode == 0
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [c.id for c in ALL]


def test_ctrl_c_shows_what_was_found_and_no_traceback() -> None:
    stuck = threading.Event()

    class Stuck(Handler):
        def _chat(self, body: dict[str, Any], *, again: bool) -> None:
            if body.get("stream"):
                stuck.set()
                self.closing.wait(60)
            else:
                super()._chat(body, again=again)

    with standin(handler=Stuck) as (url, _):
        command = [sys.executable, "-m", "clients", "check", url, "--only", "models,stream"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert stuck.wait(60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    assert out.startswith("ok")
    assert "not run" in out
    assert "Interrupted" in out


@pytest.mark.parametrize("width", [80, 140])
def test_in_a_terminal_no_line_is_wider_than_it(width: int) -> None:
    with standin("line-break", "n-ignored") as (url, _):
        run = Run(Wire(url, None, timeout_seconds=30, loopback=True), None,
                  choose(("chat", "n", "errors"), ()))  # fmt: skip
        run.carry_out()
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, no_color=True)
    show(run, url, full=False, out=console)
    assert max(map(len, out.getvalue().splitlines())) < width + 20  # escapes for bold
    assert "to blame" in out.getvalue()

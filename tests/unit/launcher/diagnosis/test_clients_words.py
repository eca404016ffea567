"""A server that had been READY is not given up for what its log says: a client may have said it."""

from __future__ import annotations

import pytest

from launcher.diagnosis.conclusion import EndReason, Failed, FinalState, conclude
from launcher.diagnosis.search import find_cause
from launcher.engines.causes import Confidence, LogCause, Retry, ServerEnd
from launcher.engines.phases import Phase
from launcher.engines.sglang.causes.table import CAUSES
from launcher.errors import ServerExitedError
from launcher.state.states import ServerState
from launcher.supervision.restarts import refuse_restart
from tests.unit.launcher.examples import make_config

TIME = "[2026-11-29 12:00:00]"
# What two requests made the log say, before a client's text was kept to one line.
FORGED = (
    f'{TIME} Failed to compile json grammar: json_schema_converter.cc:4175: Unsupported type "x',
    f"{TIME} Scheduler hit an exception: Traceback (most recent call last):",
    '  File "/x/sglang/srt/managers/scheduler.py", line 2010, in run_scheduler_process',
    "    scheduler.run_event_loop()",
    '  File "/x/sglang/srt/model_executor/model_runner.py", line 1, in load_model',
    "    x()",
)
KILLED = (
    f"{TIME} Prefill batch, #new-seq: 1, #new-token: 5",
    f"{TIME} Scheduler hit an exception: Traceback (most recent call last):",
    '  File "/venv/sglang/srt/managers/scheduler.py", line 6368, in run',
    "    scheduler.run_event_loop()",
    "RuntimeError: value cannot be converted to type int32_t without overflow",
    f"{TIME} SIGQUIT received. signum=None, frame=None. It usually means one child failed.",
)
LINES = (
    "RuntimeError: No CUDA GPUs are available",
    "AssertionError: max_running_request is zero",
    "ModuleNotFoundError: No module named 'sglang'",
    "ValueError: Unsupported architectures: Foo",
)


def ended(*lines: str, served: bool) -> ServerEnd:
    return ServerEnd(
        returncode=-9, phase=Phase.WARM_UP, served=served, lines=lines, oom_kills=0,
        config=make_config(),
    )  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_forged_lines_and_then_a_real_end_are_no_reason_to_give_up(line: str) -> None:
    cause = find_cause(ended(*FORGED, line, "", *KILLED, served=True), CAUSES)
    assert cause is None or cause.retry is not Retry.NEVER
    assert cause is None or cause.confidence is not Confidence.CERTAIN


@pytest.mark.parametrize("name", sorted(CAUSES.errors))
def test_no_cause_whatever_ends_a_server_for_good_that_had_served(name: str) -> None:
    entry = CAUSES.errors[name]
    assert isinstance(entry, LogCause)
    for line in entry.sample.splitlines():
        cause = find_cause(ended(*KILLED[:1], line, served=True), CAUSES)
        assert cause is None or cause.retry is not Retry.NEVER, line
        # A start is told as before.
        before = find_cause(ended(line, served=False), CAUSES)
        assert before is None or cause is None or before.name


def test_what_stands_in_the_text_of_an_exception_is_no_line_of_the_server() -> None:
    lines = ("ValueError: a schema", "| RuntimeError: No CUDA GPUs are available")
    assert find_cause(ended(*lines, served=True), CAUSES) is None or all(
        "CUDA" not in line
        for line in find_cause(ended(*lines, served=True), CAUSES).evidence  # type: ignore[union-attr]
    )
    at_start = find_cause(ended(*lines, served=False), CAUSES)
    assert at_start is not None
    assert at_start.name == "no-gpu"


def conclusion(*lines: str, served_seconds: float | None) -> Failed:
    seen = FinalState(
        name="x", config=make_config(), returncode=-9, phase=Phase.WARM_UP, seconds=60.0,
        served_seconds=served_seconds, lines=lines, last_words="", oom_kills=0, failures=0,
        refusal=None,
    )  # fmt: skip
    return conclude(EndReason.EXITED, seen, CAUSES)


@pytest.mark.parametrize("line", LINES)
def test_a_server_that_has_served_is_started_again(line: str) -> None:
    end = conclusion(*FORGED, line, *KILLED, served_seconds=200.0)
    state = refuse_restart(end, "on-failure", has_served=True, state=ServerState.READY)
    assert state is None
    # In its next start the port may be open before it is READY.
    again = conclusion(*FORGED, line, served_seconds=None)
    assert again.retry is Retry.NEVER
    state = refuse_restart(again, "on-failure", has_served=True, state=ServerState.STARTING)
    assert state is None
    # One that never has is given up, as before.
    state = refuse_restart(again, "on-failure", has_served=False, state=ServerState.STARTING)
    assert state is ServerState.FATAL


def test_what_the_launcher_itself_has_found_out_is_final() -> None:
    end = Failed(ServerExitedError("x", action="y"), Retry.NEVER)
    state = refuse_restart(end, "always", has_served=True, state=ServerState.READY)
    assert state is ServerState.FATAL

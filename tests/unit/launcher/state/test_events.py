"""Events are lines that can be read back."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.state.events import (
    Event,
    PhaseProgress,
    ProbeFailed,
    ProcessLost,
    ServerAdopted,
    ServerCrashed,
    ServerFailed,
    ServerReady,
    ServerStopped,
    StartSlow,
    StateChanged,
    parse_event,
)
from launcher.state.states import ServerState

COUNT = st.none() | st.integers(0, 10**9)
COMMON: dict[str, Any] = {"run_id": st.text(), "elapsed_seconds": st.floats(0, 1e9)}
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(StateChanged, state=st.sampled_from(ServerState), **COMMON),
    st.builds(PhaseProgress, phase=st.text(), done=COUNT, total=COUNT, **COMMON),
    st.builds(
        ServerReady,
        base_url=st.text(),
        served_model_name=st.text(),
        context_length_tokens=COUNT,
        kv_cache_tokens=COUNT,
        max_running_requests=COUNT,
        speculation=st.text(),
        **COMMON,
    ),
    st.builds(
        StartSlow,
        phase=st.text(),
        phase_seconds=st.floats(0, 1e9),
        usual_seconds=st.none() | st.floats(0, 1e9),
        summary=st.text(),
        work=st.text(),
        **COMMON,
    ),
    st.builds(
        ProbeFailed, failures=st.integers(), allowed=st.integers(), reason=st.text(), **COMMON
    ),
    st.builds(ProcessLost, pid=st.integers(), title=st.text(), **COMMON),
    st.builds(ServerAdopted, pid=st.integers(), **COMMON),
    st.builds(
        ServerCrashed,
        error=st.text(),
        problem=st.text(),
        cause=st.none() | st.text(),
        evidence=st.lists(st.text()).map(tuple),
        failures=st.integers(0, 100),
        allowed=st.integers(0, 100),
        restart_in_seconds=st.floats(0, 1e6),
        **COMMON,
    ),
    st.builds(ServerStopped, killed=st.booleans(), restarting=st.booleans(), **COMMON),
    st.builds(
        ServerFailed,
        error=st.text(),
        exit_code=st.integers(0, 255),
        problem=st.text(),
        action=st.text(),
        evidence=st.lists(st.text()).map(tuple),
        **COMMON,
    ),
)
STOPPED = ServerStopped(run_id="r", elapsed_seconds=1.5, killed=False)


@given(EVENTS)
def test_an_event_is_one_line_and_can_be_read_back(event: Event) -> None:
    line = event.to_json()

    assert len(line.splitlines()) == 1
    assert parse_event(line) == event
    assert type(parse_event(line)) is type(event)


@given(EVENTS, st.data())
def test_a_line_that_is_not_complete_is_no_event(event: Event, data: st.DataObject) -> None:
    line = event.to_json()

    with pytest.raises(ValueError):  # noqa: PT011  # JSON's error is one
        parse_event(line[: data.draw(st.integers(0, len(line) - 1))])


def test_names_and_fields_are_those_that_programs_rely_on() -> None:
    assert json.loads(STOPPED.to_json()) == {
        "event": "server.stopped",
        "at": STOPPED.at,
        "run_id": "r",
        "elapsed_seconds": 1.5,
        "killed": False,
        "restarting": False,
    }
    common = {"at", "run_id", "elapsed_seconds"}
    assert {
        event.kind: sorted({field.name for field in dataclasses.fields(event)} - common)
        for event in Event.__subclasses__()
    } == {
        "server.state": ["state"],
        "server.phase": ["done", "phase", "total"],
        "server.slow": ["phase", "phase_seconds", "summary", "usual_seconds", "work"],
        "server.ready": [
            "base_url",
            "context_length_tokens",
            "kv_cache_tokens",
            "max_running_requests",
            "planned_kv_cache_tokens",
            "served_model_name",
            "speculation",
        ],
        "server.probe_failed": ["allowed", "failures", "reason"],
        "server.process_lost": ["pid", "title"],
        "server.speculation": ["acceptance_length", "alarm", "running_requests", "sentence"],
        "server.adopted": ["pid"],
        "server.log_lost": [],
        "server.crashed": [
            "allowed",
            "cause",
            "error",
            "evidence",
            "failures",
            "problem",
            "restart_in_seconds",
        ],
        "server.postponed": [
            "attempts",
            "error",
            "evidence",
            "gives_up_in_seconds",
            "problem",
            "restart_in_seconds",
        ],
        "server.stopped": ["killed", "restarting"],
        "server.failed": ["action", "error", "evidence", "exit_code", "problem"],
    }
    assert datetime.fromisoformat(STOPPED.at).tzinfo is not None


@pytest.mark.parametrize(
    "fields",
    [
        [],
        7,
        None,
        "server.stopped",
        {},
        {"event": "server.exploded"},
        {"event": ["server.stopped"]},
        {"event": "server.stopped"},
        {"event": "server.stopped", "run_id": "r", "elapsed_seconds": 1.0, "killed": True, "x": 1},
        {"event": "server.state", "run_id": "r", "elapsed_seconds": 1.0, "state": "ASLEEP"},
        {"event": "server.failed", "run_id": "r", "elapsed_seconds": 1.0, "evidence": None},
    ],
)
def test_what_is_no_event_is_refused(fields: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # one of several wordings
        parse_event(json.dumps(fields))


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        STOPPED.killed = True  # type: ignore[misc]

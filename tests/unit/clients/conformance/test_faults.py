"""A right server is all green; each fault is found by the check that is about it, and no other."""

from __future__ import annotations

import pytest

from clients.conformance.checks import load
from clients.conformance.run import Run
from clients.conformance.table import ALL, choose
from clients.conformance.wire import Wire
from tests.unit.clients.conformance.standin import standin

FAULTS: dict[str, set[str]] = {
    "parts-dropped": {"chat.text-parts", "messages.two-parts"},
    "second-part-lost": {"messages.two-parts"},
    "system-lost": {"messages.system"},
    "result-lost": {"messages.tool-result"},
    "developer-500": {"messages.developer"},
    "whole-html": {"chat.content-type"},
    "line-break": {"chat.line-break"},
    "no-usage": {"usage.adds-up"},
    "wrong-sum": {"usage.adds-up", "stream.usage"},
    "limit-says-stop": {
        *("limits.max-tokens", "limits.max-completion-tokens", "reasoning.cut-off"),
    },
    "stream-limit-ignored": {
        *("limits.max-tokens", "limits.max-completion-tokens", "reasoning.cut-off"),
    },
    "thought-uncounted": {"usage.same-streamed"},
    "n-usage-first": {"n.usage"},
    "new-limit-ignored": {"limits.max-completion-tokens"},
    "stream-html": {"stream.content-type"},
    "broken-event": {"stream.events"},
    "no-role": {"stream.role"},
    "double-finish": {"stream.finish"},
    "late-content": {"stream.order"},
    "no-done": {"stream.done"},
    "after-done": {"stream.done"},
    "burst": {"stream.spread"},
    "created-moves": {"stream.id"},
    "name-repeated": {"tools.indexes", "tools.required"},
    "two-ids": {"stream.id", "n.id"},
    "no-stream-usage": {"stream.usage"},
    "usage-everywhere": {"stream.usage"},
    "usage-unasked": {"stream.no-usage"},
    "think-tag": {"reasoning.tags"},
    "think-line-break": {"reasoning.line-break"},
    "no-reasoning-parser": {"reasoning.field", "structured.reasoning"},
    "thought-in-stream": {"reasoning.field", "reasoning.same-streamed", "reasoning.cut-off"},
    "no-tool-parser": {"tools.one"},
    "calls-lost": {"tools.one", "tools.unknown"},
    "tool-finish-stop": {"tools.one", "tools.several", "tools.required"},
    "arguments-object": {"tools.arguments"},
    "arguments-torn": {"tools.arguments", "tools.same-streamed"},
    "wrong-index": {"tools.indexes", "tools.same-streamed"},
    "same-call-ids": {"tools.several", "tools.indexes", "tools.new-id"},
    "ids-from-one": {"tools.new-id"},
    "none-ignored": {"tools.choice-none"},
    "named-ignored": {"tools.named"},
    "no-arguments": {"tools.named", "tools.no-parameters"},
    "unknown-dropped": {"tools.unknown"},
    "forced-typed": {"tools.strings", "tools.types"},
    "auto-typed": {"tools.strings-auto"},
    "endless-spaces": {"structured.json-object"},
    "schema-ignored": {"structured.json-schema", "structured.reasoning"},
    "replacement": {"utf8.streamed"},
    "stop-included": {"stop.word", "stop.list", "stop.spanning"},
    "newline-stops": {"stop.newline"},
    "logprobs-missing": {"logprobs.values", "logprobs.count", "logprobs.bytes"},
    "logprobs-short": {"logprobs.count"},
    "logprobs-positive": {"logprobs.values"},
    "logprobs-bytes": {"logprobs.bytes"},
    "n-ignored": {"n.whole", "n.streamed"},
    "n-two-ids": {"n.id"},
    "random": {"greedy.repeated"},
    "drifts": {"greedy.repeated"},
    "stream-differs": {"greedy.streamed"},
    "calls-lost-thinking": {"tools.thinking"},
    "parallel": {"tools.parallel-false"},
    "error-text": {"errors.body"},
    "model-any": {"errors.model"},
    "model-200": {"errors.model"},
    "model-500": {"errors.model"},
    "length-cut": {"errors.context-length", "errors.streamed"},
    "malformed-500": {"errors.malformed"},
    "image-500": {"errors.image"},
    "embeddings-500": {"errors.embeddings"},
}
UNDER_LOAD = {
    "mixed-up": {"load.at-once"},
    "schema-stream-empty": {"load.at-once"},
    "slot-held": {"cancel.frees-slot"},
}


def checked(url: str, *, only: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> Run:
    """A whole run, as the command line makes it."""
    wire = Wire(url, None, timeout_seconds=30, loopback=True)
    run = Run(wire, None, choose(only, skip))
    run.carry_out()
    return run


def blamed(run: Run) -> dict[str, str]:
    """The lines that are the server's, or the check's own failure."""
    return {
        finding.check.id: finding.seen
        for finding in run.findings
        if finding.outcome in {"server", "client"}
    }


def test_a_right_server_is_all_green() -> None:
    with standin() as (url, _):
        run = checked(url)
    assert {f.check.id: f.seen for f in run.findings if f.outcome != "kept"} == {}
    assert [finding.check for finding in run.findings] == list(ALL)
    assert run.exit_code == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check_alone(fault: str) -> None:
    with standin(fault) as (url, _):
        run = checked(url, skip=("load", "cancel"))
    found = blamed(run)
    assert set(found) == FAULTS[fault], found
    assert run.exit_code == 1


@pytest.mark.parametrize("fault", UNDER_LOAD)
def test_a_fault_under_load_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The slot is held for longer than this bound.
    monkeypatch.setattr(load, "_BASE_SECONDS", 1.0)
    with standin(fault) as (url, _):
        run = checked(url, only=("load", "cancel"))
    assert set(blamed(run)) == UNDER_LOAD[fault]


def test_every_check_but_those_of_shape_is_shown_to_find_something() -> None:
    proven = set().union(*FAULTS.values(), *UNDER_LOAD.values())
    assert {check.id for check in ALL} - proven == {
        # Shape and liveness, shown in test_hostile; and what is the model's alone.
        *("models.list", "chat.answer", "errors.alive"),
        *("reasoning.order", "reasoning.off", "tools.none-needed", "tools.result", "utf8.whole"),
        *("errors.no-messages", "errors.max-tokens", "errors.temperature", "errors.schema"),
        "errors.tool-history",
    }


def test_a_model_that_calls_what_is_offered_alone_is_not_blamed_for_it() -> None:
    with standin("obedient") as (url, _):
        run = checked(url, only=("tools.unknown",))
    assert [finding.outcome for finding in run.findings] == ["not judged"]


def test_a_finish_reason_without_a_call_is_not_told_as_a_call() -> None:
    with standin("finish-without-call") as (url, _):
        run = checked(url, only=("tools.choice-none",))
    assert blamed(run)["tools.choice-none"] == "whole: finish_reason tool_calls, and no call"


def test_a_model_that_always_reasons_is_scored_where_its_answer_begins() -> None:
    with standin("always-thinks") as (url, _):
        run = checked(url, skip=("load", "cancel"))
    assert blamed(run) == {}
    outcomes = {finding.check.id: finding.outcome for finding in run.findings}
    assert {outcomes[f"logprobs.{name}"] for name in ("values", "count", "bytes")} == {"kept"}


def test_where_answers_differ_from_run_to_run_nothing_is_held_against_them() -> None:
    with standin("random") as (url, _):
        run = checked(url, only=("stop", "greedy"))
    outcomes = {finding.check.id: finding.outcome for finding in run.findings}
    assert outcomes.pop("greedy.repeated") == "server"
    assert set(outcomes.values()) == {"not judged"}


def test_what_a_server_cleanly_lacks_is_not_its_fault() -> None:
    with standin("no-n", "no-logprobs") as (url, _):
        run = checked(url, only=("n", "logprobs", "tools.unknown", "tools.strings-auto"))
    outcomes = {finding.check.id: finding.outcome for finding in run.findings}
    assert {name for name, outcome in outcomes.items() if outcome == "not offered"} == {
        *("n.whole", "n.streamed", "n.id", "n.usage"),
        *("logprobs.values", "logprobs.count", "logprobs.bytes"),
    }
    assert run.exit_code == 0


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.id)
def test_a_check_says_what_its_contract_is_and_where_that_is_written(check: object) -> None:
    assert check in ALL
    contract, source = getattr(check, "contract", ""), getattr(check, "source", "")
    assert contract.endswith((".", ")"))
    assert "https://" in source

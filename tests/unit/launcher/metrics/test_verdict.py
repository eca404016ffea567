"""Whether speculation pays: by a benchmark of this machine, by a step's cost, or not known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from launcher.metrics.benchmark import Benchmark, Machine, ReportFile, find_benchmark
from launcher.metrics.figures import Acceptance, Figures
from launcher.metrics.verdict import MEASURE, judge
from tests.project import PROJECT

EAGLE = "EAGLE 3/1/4"
MACHINE = Machine("a processor", ())
SERVED: dict[str, Any] = {
    "model_path": "/models/nano",
    "served_model_name": "nano",
    "device": "cpu",
    "tp_size": 1,
    "dtype": "float32",
    "speculative_algorithm": None,
}
DRAFTED = SERVED | {
    "speculative_algorithm": "EAGLE",
    "speculative_num_steps": 3,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 4,
}
# Of the acceptance length 3.0: a step takes 1.5, 2.0 and 4.0 times as long as a plain one.
SPEEDUPS = {1: 2.0, 8: 1.5, 32: 0.75}


def report(
    speedups: dict[int, float] = SPEEDUPS, day: str = "2026-11-29", **changed: Any
) -> ReportFile:
    """A run of `plain` against `eagle`, as its file has it."""
    loads = {n: {"concurrency": n, "rate_per_second": None} for n in speedups}
    said = {
        "schema_version": 1,
        "began_at": f"{day}T10:00:00+00:00",
        "machine": {"cpu_model": "a processor", "gpus": []},
        "starts": [
            {"arm": arm, "run_record": {"config": config}, "versions": {"sglang": "0.5.23"}}
            for arm, config in (("plain", SERVED), ("eagle", DRAFTED))
        ],
        "cells": [
            {
                "arm": "eagle",
                "workload": "chat",
                "load": loads[n],
                "acceptance_length": {"value": 3.0},
            }
            for n in speedups
        ],
        "speedups": [
            {
                "baseline": "plain",
                "candidate": "eagle",
                "workload": "chat",
                "load": loads[n],
                "speedup": {"value": value},
                "verdict": "faster" if value > 1 else "slower",
            }
            for n, value in speedups.items()
        ],
    }
    return ReportFile.model_validate_json(json.dumps(said | changed))


def measured(config: dict[str, Any] = DRAFTED, *reports: ReportFile) -> Benchmark | None:
    listed = [(f"report-{number}.json", one) for number, one in enumerate(reports or [report()])]
    return find_benchmark(listed, config, MACHINE)


def figures(running: float | None, length: float | None = None, steps: float = 1000) -> Figures:
    return Figures(
        running_requests=running, acceptance=Acceptance(window=length, verify_steps=steps)
    )


@pytest.mark.parametrize(
    ("running", "length", "wanted"),
    [
        (1, 3.0, 2.0),
        (8, 3.0, 1.5),
        (1, 1.5, 1.0),
        (1, 1.2, 0.8),
        (8, 2.4, 1.2),
        # Below and beyond what was measured: as at its ends.
        (0, 3.0, 2.0),
        (100, 3.0, 0.75),
        # The acceptance is not known: as it was in the benchmark.
        (8, None, 1.5),
    ],
)
def test_the_speed_up_goes_with_the_acceptance_and_the_requests(
    running: float, length: float | None, wanted: float
) -> None:
    verdict = judge(EAGLE, figures(running, length), measured())

    assert verdict.speedup == pytest.approx(wanted)


def test_between_two_loads_it_lies_between() -> None:
    benchmark = measured()
    assert benchmark is not None

    assert 1.5 < benchmark.speedup(4) < 2.0
    # 8 requests are 1.5 times, 32 are 0.75 times: on the way the logarithm passes 0.
    assert benchmark.crossover() == pytest.approx(8 * 4**0.585, rel=0.01)
    assert benchmark.crossover(6.0) is None
    assert benchmark.crossover(1.0) == 1


def test_of_two_engines_in_a_report_a_server_s_own_counts() -> None:
    whole = report()
    starts = [
        {"arm": arm, "run_record": {"config": config | {"engine": engine}}, "versions": versions}
        for arm, config, engine, versions in (
            ("plain", SERVED, "sglang", {"sglang": "0.5.23"}),
            ("eagle", DRAFTED, "sglang", {"sglang": "0.5.23"}),
            ("vllm-plain", SERVED, "vllm", {"vllm": "0.32.0"}),
            ("vllm-mtp", DRAFTED, "vllm", {"vllm": "0.32.0"}),
        )
    ]

    def speedup(baseline: str, candidate: str, value: float) -> dict[str, Any]:
        one = whole.speedups[0].model_dump() | {"baseline": baseline, "candidate": candidate}
        return one | {"speedup": {"value": value}}

    changed = {
        "starts": starts,
        "speedups": [speedup("plain", "eagle", 1.5), speedup("plain", "vllm-mtp", 9.0)],
        "further": [speedup("vllm-plain", "vllm-mtp", 2.0), speedup("eagle", "vllm-mtp", 6.0)],
    }
    two = ReportFile.model_validate_json(json.dumps(whole.model_dump() | changed))

    for engine, candidate, value, version in (
        ("sglang", "eagle", 1.5, "0.5.23"),
        ("vllm", "vllm-mtp", 2.0, "0.32.0"),
    ):
        found = measured(DRAFTED | {"engine": engine}, two)
        assert found is not None
        assert (found.candidate, found.speedup(1)) == (candidate, value)
        assert found.engine_version == version
    # Written when there was one engine.
    assert measured(DRAFTED | {"engine": "sglang"}) is not None
    assert measured(DRAFTED | {"engine": "vllm"}) is None


def test_the_sentence_of_one_that_pays() -> None:
    assert judge(EAGLE, figures(4, 3.0), measured(), "0.5.23").sentence == (
        "Speculation pays 1.7 times here at 4 requests, by this machine's benchmark of "
        "2026-11-29; plain decoding wins from about 18; 4 are running."
    )


def test_the_sentence_of_one_that_does_not_says_what_it_would_need() -> None:
    verdict = judge(EAGLE, figures(1, 1.2), measured(), "0.5.23")

    assert verdict.kind == "does not pay"
    assert verdict.needed_acceptance_length == pytest.approx(1.5)
    assert verdict.sentence == (
        "Speculation does not pay here at 1 request, plain decoding is 1.2 times as fast, by this "
        "machine's benchmark of 2026-11-29; a step gives 1.20 tokens and takes as long as 1.50 "
        "plain ones; 1 is running."
    )


def test_more_requests_than_were_measured_are_told() -> None:
    sentence = judge(EAGLE, figures(50, 6.0), measured()).sentence

    assert "at 32 requests" in sentence
    assert sentence.endswith("50 are running, and 32 is the most that was measured.")


def test_about_the_same_is_no_gain() -> None:
    assert judge(EAGLE, figures(1, 1.52), measured()).kind == "even"


def test_another_version_of_the_engine_is_named() -> None:
    assert "(of version 0.5.23)" in judge(EAGLE, figures(1, 3.0), measured(), "0.6.0").sentence


def test_without_a_benchmark_it_says_what_a_step_may_cost_and_how_to_measure_it() -> None:
    verdict = judge(EAGLE, figures(1, 2.41), None)

    assert verdict.kind == "unknown"
    assert verdict.speedup is None
    assert "less than 2.41 times a plain step" in verdict.sentence
    assert MEASURE in verdict.sentence
    assert MEASURE in judge(EAGLE, figures(None), None).sentence


def test_of_a_plain_server_it_says_what_speculation_would_bring() -> None:
    verdict = judge("off", figures(1), measured(SERVED))

    assert verdict.kind == "off"
    assert "eagle would pay: 2 times" in verdict.sentence
    assert "would not pay" in judge("off", figures(40), measured(SERVED)).sentence
    assert MEASURE in judge("off", figures(1), None).sentence


@pytest.mark.parametrize(
    ("length", "steps", "wanted"), [(2.5, 1000, False), (2.3, 1000, True), (2.3, 10, False)]
)
def test_a_decay_is_told_where_enough_was_seen(
    length: float, steps: float, *, wanted: bool
) -> None:
    verdict = judge(EAGLE, figures(1, length, steps), measured())

    assert verdict.has_decayed is wanted
    assert verdict.baseline_acceptance_length == pytest.approx(3)
    assert verdict.baseline == "benchmark"


def test_without_a_benchmark_the_baseline_is_the_server_s_own_past() -> None:
    acceptance = Acceptance(window=1.5, since_start=3.0, verify_steps=500)

    verdict = judge(EAGLE, Figures(acceptance=acceptance), None)

    assert verdict.baseline_acceptance_length == 3.0
    assert verdict.baseline == "since its start"
    assert verdict.has_decayed


@pytest.mark.parametrize(
    "changed",
    [
        {"model_path": "/models/other"},
        {"served_model_name": "other"},
        {"speculative_num_steps": 5},
        {"speculative_algorithm": "NGRAM"},
        {"speculative_adaptive": True},
        {"engine": "vllm"},
        {"dtype": "bfloat16"},
        {"tp_size": 2},
    ],
)
def test_another_way_to_serve_has_no_benchmark(changed: dict[str, Any]) -> None:
    assert measured(DRAFTED | changed) is None


def test_a_report_that_is_older_than_a_field_still_counts() -> None:
    assert measured(DRAFTED | {"speculative_adaptive": False, "engine": "sglang"}) is not None


def test_another_machine_s_benchmark_says_nothing() -> None:
    other = report(machine={"cpu_model": "a processor", "gpus": ["NVIDIA H200"]})

    assert measured(DRAFTED, other) is None


def test_the_newest_counts() -> None:
    found = measured(DRAFTED, report(day="2026-11-28"), report(day="2026-11-30"), report())

    assert found is not None
    assert (found.day, found.file) == ("2026-11-30", "report-1.json")


def test_open_loops_alone_say_nothing() -> None:
    only = report()
    rate = only.speedups[0].load.model_copy(update={"concurrency": None})
    speedups = tuple(one.model_copy(update={"load": rate}) for one in only.speedups)

    assert measured(DRAFTED, only.model_copy(update={"speedups": speedups})) is None


def test_a_step_costs_the_same_whatever_is_accepted() -> None:
    """The premise, on what was measured of nano: each workload foretold by the other three."""
    content = (PROJECT / "docs/benchmark-report/report.json").read_text()
    whole = ReportFile.model_validate_json(content)
    config = next(one.run_record for one in whole.starts if "eagle" in one.arm)
    assert config is not None
    lengths = {
        (cell.workload, cell.load.concurrency): cell.acceptance_length.value
        for cell in whole.cells
        if cell.acceptance_length is not None
    }
    assert max(lengths.values()) > 2 * min(lengths.values())
    for one in whole.speedups:
        others = tuple(other for other in whole.speedups if other.workload != one.workload)
        rest = whole.model_copy(update={"speedups": others})
        machine = Machine(whole.machine["cpu_model"], tuple(whole.machine["gpus"]))
        benchmark = find_benchmark([("", rest)], config["config"], machine)
        assert benchmark is not None
        assert one.load.concurrency is not None
        foretold = benchmark.speedup(
            one.load.concurrency, lengths[one.workload, one.load.concurrency]
        )
        assert foretold == pytest.approx(one.speedup.value, rel=0.2), one

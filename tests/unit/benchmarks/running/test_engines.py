"""Two engines in one run: how arms name them, and what an engine tells of speculation by counters.

The text of the metrics is what vllm 0.32.0 answered while it served nano with three drafts.
"""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest

from benchmarks.errors import PlanError
from benchmarks.plan import Arm, Plan
from benchmarks.records import Load, SpeculationCounts
from benchmarks.running.arms import mtp, option_of, parse_arm
from benchmarks.running.servers import configuration, connect

COUNTERS = """\
# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="nano"} 59.0
# HELP vllm:spec_decode_num_draft_tokens_total Number of draft tokens.
# TYPE vllm:spec_decode_num_draft_tokens_total counter
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="nano"} 177.0
# HELP vllm:spec_decode_num_accepted_tokens_total Number of accepted tokens.
# TYPE vllm:spec_decode_num_accepted_tokens_total counter
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="nano"} 85.0
# HELP vllm:spec_decode_num_accepted_tokens_per_pos_total Accepted tokens per draft position.
# TYPE vllm:spec_decode_num_accepted_tokens_per_pos_total counter
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="nano",position="0"} 41.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="nano",position="1"} 24.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="nano",position="2"} 20.0
"""
COUNTED = SpeculationCounts(
    verify_rounds=59, proposed=177, accepted=85, accepted_by_position=(41, 24, 20)
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sglang:plain", "sglang-plain"),
        ("sglang:eagle", "sglang-eagle-3-1-4"),
        ("sglang:eagle:5/4/8", "sglang-eagle-5-4-8"),
        ("sglang:ngram", "sglang-ngram"),
        ("vllm:plain", "vllm-plain"),
        ("vllm:mtp", "vllm-mtp-3"),
        ("vllm:mtp=2", "vllm-mtp-2"),
        ("vllm:ngram=4", "vllm-ngram-4"),
        ("mtp=1", "mtp-1"),
        ("ngram=7", "ngram-7"),
        ("vllm-fast=engine:vllm,dtype:bfloat16", "vllm-fast"),
    ],
)
def test_an_arm_says_on_which_engine_it_runs(text: str, name: str) -> None:
    arm = parse_arm(text)

    assert arm.name == name
    assert arm.fields.get("engine") == next((e for e in ("sglang", "vllm") if e in text), None)
    assert parse_arm(option_of(arm)) == arm


def test_the_short_form_is_written_back() -> None:
    texts = ["sglang:eagle:3/1/4", "vllm:mtp=3", "vllm:plain", "vllm:ngram=4"]

    assert [option_of(parse_arm(text)) for text in texts] == texts


@pytest.mark.parametrize(
    "text", ["vllm:", "vllm:egale", "vllm:mtp=", "vllm:x=dtype:auto", "trt:mtp"]
)
def test_what_is_no_way_to_decode_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="Not an arm"):
        parse_arm(text)


def test_both_engines_draft_as_much_for_one_number() -> None:
    on_vllm = configuration(parse_arm("vllm:mtp=2"), {"preset": "nano"})
    on_sglang = configuration(parse_arm("sglang:eagle:2/1/3"), {"preset": "nano"})

    assert (on_vllm.engine, on_sglang.engine) == ("vllm", "sglang")
    assert (
        on_vllm.speculative_algorithm,
        on_vllm.speculative_num_steps,
        on_vllm.speculative_num_draft_tokens,
    ) == ("EAGLE", 2, 3)
    assert on_sglang.speculative_num_steps == on_vllm.speculative_num_steps


def plan(*arms: str, **shared: str) -> Plan:
    return Plan(
        arms=tuple(map(parse_arm, arms)),
        shared=shared,
        workloads=("chat",),
        loads=(Load(concurrency=1),),
    )


def test_the_first_arm_of_each_engine_is_held_against_itself() -> None:
    asked = plan("sglang:plain", "sglang:eagle", "vllm:plain", "vllm:mtp=3")

    assert asked.references == ("sglang-plain", "vllm-plain")
    assert plan("plain", "eagle").references == ("plain",)
    assert plan("plain", "eagle", engine="vllm").references == ("plain",)
    assert plan("plain", "vllm:plain").references == ("plain", "vllm-plain")


def test_arms_are_held_against_the_baseline_their_engine_s_first_and_their_like() -> None:
    asked = plan("sglang:plain", "sglang:eagle", "vllm:plain", "vllm:mtp=3")

    assert asked.pairs == (
        ("sglang-plain", "sglang-eagle-3-1-4"),
        ("sglang-plain", "vllm-plain"),
        ("sglang-plain", "vllm-mtp-3"),
        ("vllm-plain", "vllm-mtp-3"),
        ("sglang-eagle-3-1-4", "vllm-mtp-3"),
    )


def test_one_engine_alone_has_the_pairs_with_its_baseline() -> None:
    expected = (("plain", "eagle-3-1-4"), ("plain", "ngram"))

    assert plan("plain", "eagle", "ngram").pairs == expected
    assert plan("plain", "eagle", "ngram", engine="vllm").pairs == expected
    assert plan("plain").pairs == ()


def test_servers_that_run_already_are_held_against_the_baseline_alone() -> None:
    asked = plan("sglang:plain", "a=http://h:1", "b=http://h:2")

    assert asked.pairs == (("sglang-plain", "a"), ("sglang-plain", "b"))
    assert asked.references == ("sglang-plain",)


def test_mtp_is_the_chain_of_eagle_by_another_name() -> None:
    assert mtp(2).fields == parse_arm("eagle:2/1/3").fields


@contextlib.contextmanager
def vllm_server() -> Iterator[str]:
    """Says what vLLM does to those questions that are asked of a server that runs already."""
    answers = {
        "/v1/models": '{"object": "list", "data": [{"id": "nano", "owned_by": "vllm"}]}',
        "/version": '{"version": "0.32.0"}',
        "/metrics": COUNTERS,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = answers.get(self.path, '{"detail": "Not Found"}').encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_vllm_under_a_url_tells_its_version_and_its_counters() -> None:
    with vllm_server() as url:
        served = connect(Arm(name="a", url=url), url)

        assert served.start.versions == {"vllm": "0.32.0"}
        assert served.start.server_info is None
        assert served.speculation() == COUNTED
        assert served.flush_cache() is False

    assert served.speculation() is None


def test_counters_are_of_what_came_between_two_looks() -> None:
    now = SpeculationCounts(
        verify_rounds=69, proposed=207, accepted=100, accepted_by_position=(49, 28, 23)
    )

    assert now.since(COUNTED) == SpeculationCounts(
        verify_rounds=10, proposed=30, accepted=15, accepted_by_position=(8, 4, 3)
    )
    # Positions appear with the first draft.
    assert now.since(SpeculationCounts(verify_rounds=0, proposed=0, accepted=0)) == now


def test_a_server_that_was_started_again_in_between_tells_nothing() -> None:
    fewer = SpeculationCounts(verify_rounds=3, proposed=9, accepted=2)

    assert fewer.since(COUNTED) is None


def test_a_histogram_of_steps_is_had_from_positions() -> None:
    assert COUNTED.histogram == (18, 17, 4, 20)
    assert sum(COUNTED.histogram) == COUNTED.verify_rounds
    accepted = sum(drafts * steps for drafts, steps in enumerate(COUNTED.histogram))
    assert accepted == COUNTED.accepted


def test_positions_that_contradict_the_steps_make_no_histogram() -> None:
    assert SpeculationCounts(verify_rounds=1, proposed=3, accepted=2).histogram == ()
    wrong = SpeculationCounts(
        verify_rounds=1, proposed=3, accepted=2, accepted_by_position=(0, 2, 0)
    )
    assert wrong.histogram == ()

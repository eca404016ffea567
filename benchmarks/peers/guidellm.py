"""GuideLLM, `python -m guidellm run`: its files and its report. Pure.

What is sent is what we send, but that `max_tokens` is called `max_completion_tokens`; each body
that it reports is held against ours. It takes messages and the length of the answer from the data,
and all else from one place for all requests. So a workload whose prompts differ in their options
or in `ignore_eos` is refused, and one with tools too: it sends those with `tool_choice` none, or
takes the limit of the answer away.

Formula, for a request that ended well, t by `time.time`, the clock of the wall:

- time to first token = t(first line with content, reasoning or a tool call) - t(its head is
  written), so without connecting. Source: schemas/base/request_stats.py, backends/openai/http.py.
- time per output token = (t(last chunk) - t(first)) / (completion tokens - 1), which it calls
  inter-token latency; its own "time per output token" counts from the sending. Its median is
  weighted by the tokens. Source: schemas/base/request_stats.py, benchmark/schemas/metrics.py.
- output throughput = sum of completion tokens / (last end - first start of a request), the mean
  of a rate over time. Source: schemas/base/statistics.py (rate_distribution_from_timings).

Its median of an even number of values is the lower of the two in the middle, not their mean: an
odd number of prompts makes it everyone's median. Read in guidellm 0.8.1.

By default it has as many processes as streams, ten at the most, each of which imports for seconds
and polls. On a machine that serves too they would slow the server, and prompts that a process
holds back while another is idle would change the load: so it gets one process for each 64 streams,
and no more than there are processors.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError

from benchmarks.errors import PeerError
from benchmarks.peers.adapter import Adapter, Prepared, ReportedFigures, Task
from benchmarks.records import Load
from benchmarks.workloads.workload import Prompt, Workload

TOOL: Final = "guidellm"
STREAMS_PER_PROCESS: Final = 64
KEY_VARIABLE: Final = "GUIDELLM__SPEC__BACKEND__API_KEY"
# What it takes from the data or from its own settings, not from the options for all.
_OWN_FIELDS: Final = ("model", "messages", "max_tokens", "stream", "stream_options")

_Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Distribution(BaseModel):
    mean: _Finite
    median: _Finite
    count: int


class _Successful(BaseModel):
    successful: _Distribution | None


class _Totals(BaseModel):
    successful: int
    errored: int
    incomplete: int


class _Metrics(BaseModel):
    request_totals: _Totals
    output_tokens_per_second: _Successful
    time_to_first_token_ms: _Successful
    inter_token_latency_ms: _Successful


class _Info(BaseModel):
    error: str | None = None


class _GuideLLMRequest(BaseModel):
    request_args: str | None
    output_tokens: int | None
    info: _Info


class _GuideLLMRequests(BaseModel):
    successful: list[_GuideLLMRequest]
    errored: list[_GuideLLMRequest]


class _Benchmark(BaseModel):
    metrics: _Metrics
    requests: _GuideLLMRequests


class _GuideLLMReport(BaseModel):
    """Its report, as far as we read it."""

    benchmarks: list[_Benchmark] = Field(min_length=1, max_length=1)


def dataset(workload: Workload) -> bytes:
    """The prompts, a line each: messages, and the most tokens of the answer."""
    return b"".join(
        json.dumps(
            {"messages": list(prompt.messages), "output_tokens_count": prompt.max_tokens},
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for prompt in workload.prompts
    )


def shared_options(workload: Workload) -> dict[str, Any]:
    """The fields that all requests have alike.

    Raises:
        PeerError: they differ, or there are tools.
    """
    options = [_options(prompt) for prompt in workload.prompts]
    for prompt, own in zip(workload.prompts, options, strict=True):
        if "tools" in own:
            raise PeerError(
                f"guidellm cannot send the prompt {prompt.id!r} as it is: with tools it sets "
                "`tool_choice` to none, or leaves the limit of the answer out.",
                action="Leave workloads with tools to the other tools.",
            )
        if own != options[0]:
            fields = sorted(
                name for name in {*own, *options[0]} if own.get(name) != options[0].get(name)
            )
            raise PeerError(
                f"guidellm sends one set of options for all prompts, and {prompt.id!r} differs "
                f"from {workload.prompts[0].id!r} in {', '.join(fields)}.",
                action="Leave this workload to the other tools, or give its prompts one set.",
            )
    return options[0]


def _options(prompt: Prompt) -> dict[str, Any]:
    body = prompt.to_request("")
    return {name: value for name, value in body.items() if name not in _OWN_FIELDS}


def scenario(task: Task) -> dict[str, Any]:
    """Its settings: a scenario file of its own format.

    Raises:
        PeerError: it cannot send the workload as it is.
    """
    # Null takes a field out that it would add: usage in each chunk, and `ignore_eos`, which it
    # sets for each answer with a length.
    body = {
        "ignore_eos": None,
        "stream_options": {"include_usage": True, "continuous_usage_stats": None},
        **shared_options(task.workload),
    }
    profile: dict[str, Any] = (
        {"kind": "concurrent", "streams": [task.load.concurrency]}
        if task.load.concurrency
        else {"kind": "poisson", "rate": [task.load.rate_per_second]}
    )
    return {
        "spec": {
            "backend": {
                "kind": "openai_http",
                "target": task.target.base_url,
                "model": task.target.model,
                "request_format": "/v1/chat/completions",
                "http2": False,
                "extras": {"body": body},
            },
            "profile": profile,
            "constraints": [{"kind": "max_requests", "count": len(task.workload.prompts)}],
            "tokenizer": {"kind": "huggingface_auto", "model": str(task.tokenizer)},
            "data": [{"kind": "json_file", "path": str(task.file(".prompts.jsonl"))}],
            "data_column_mapper": {
                "kind": "generative_column_mapper",
                "column_mappings": {
                    "raw_messages_column": "messages",
                    "output_tokens_count_column": "output_tokens_count",
                },
            },
            "seed": {"kind": "static", "value": task.seed},
            "outputs": [{"kind": "json", "path": str(task.file(".output.json"))}],
        }
    }


def processes(load: Load, processors: int) -> int:
    """How many processes may send: one for each 64 streams, at most one a processor."""
    streams = load.concurrency or 1
    return max(1, min(processors, -(-streams // STREAMS_PER_PROCESS)))


def prepare(task: Task) -> Prepared:
    """The command, its scenario and data, and its environment.

    Raises:
        PeerError: it cannot send the workload as it is.
    """
    settings = task.file(".scenario.json")
    key = task.target.api_key
    return Prepared(
        argv=(
            *(sys.executable, "-m", "guidellm", "run"),
            *("--config", str(settings)),
            "--disable-console",
        ),
        environment={
            "GUIDELLM__MAX_WORKER_PROCESSES": str(processes(task.load, os.cpu_count() or 1)),
            **({} if key is None else {KEY_VARIABLE: key}),
        },
        inputs={
            settings: json.dumps(scenario(task), ensure_ascii=False, indent=2).encode(),
            task.file(".prompts.jsonl"): dataset(task.workload),
        },
        output=task.file(".output.json"),
    )


def read(output: bytes, task: Task) -> ReportedFigures:
    """Its figures.

    Raises:
        PeerError: it cannot be read, a request failed, or other bodies were sent than ours.
    """
    try:
        said = _GuideLLMReport.model_validate_json(output).benchmarks[0]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PeerError(
            f"The report of guidellm cannot be read: {place or 'all of it'}: {first['msg']}",
            action=f"See {task.file('.output.json')}, and the version of guidellm.",
        ) from error
    asked, totals = len(task.workload.prompts), said.metrics.request_totals
    if totals.successful != asked:
        reasons = [one.info.error for one in said.requests.errored if one.info.error]
        raise PeerError(
            f"guidellm had {totals.successful} answers to {asked} requests; {totals.errored} "
            f"failed, {totals.incomplete} did not end.",
            action="See what the server printed.",
            evidence=tuple(dict.fromkeys(reasons)),
        )
    _refuse_other_bodies(said.requests.successful, task)
    throughput = said.metrics.output_tokens_per_second.successful
    first_token = said.metrics.time_to_first_token_ms.successful
    between = said.metrics.inter_token_latency_ms.successful
    if throughput is None or first_token is None or first_token.count == 0:
        raise PeerError(
            "The report of guidellm has no throughput or no time to first token.",
            action=f"See {task.file('.output.json')}.",
        )
    return ReportedFigures(
        requests=totals.successful,
        output_tokens=sum(one.output_tokens or 0 for one in said.requests.successful),
        output_tokens_per_second=throughput.mean,
        median_time_to_first_token_seconds=first_token.median / 1e3,
        median_time_per_output_token_seconds=(
            between.median / 1e3 if between is not None and between.count > 0 else None
        ),
    )


def _refuse_other_bodies(requests: list[_GuideLLMRequest], task: Task) -> None:
    """Hold what it sent against what we send, as JSON, whatever the order."""
    ours = sorted(
        _canonical(prompt.to_request(task.target.model)) for prompt in task.workload.prompts
    )
    theirs = sorted(
        _canonical(json.loads(one.request_args or "{}").get("body") or {}) for one in requests
    )
    for own, other in zip(ours, theirs, strict=True):
        if own != other:
            raise PeerError(
                "guidellm sent other requests than asked for.",
                action="Leave this workload to the other tools.",
                evidence=(f"ours:   {own}", f"theirs: {other}"),
            )


def _canonical(body: dict[str, Any]) -> str:
    renamed = {
        ("max_tokens" if name == "max_completion_tokens" else name): value
        for name, value in body.items()
    }
    return json.dumps(renamed, sort_keys=True, ensure_ascii=False)


ADAPTER: Final = Adapter(tool=TOOL, package="guidellm", prepare=prepare, read=read)

"""What our parsers for GLM's format cost a server, against SGLang's own.

    python -m benchmarks.selfcheck.parser_cost [--pairs N] [--requests N]

Two servers of the nano model, one with each (`--glm-parsers`), get the same streamed requests in
turns, so that a noisy machine hits both. The figure is the CPU time of the process that answers
HTTP, tokenizes and parses, for each token generated. The same answers then go through the parsers
alone: without a server around them a difference cannot hide.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from benchmarks.selfcheck.client_overhead import summary
from clients import ChatClient
from launcher.serving import serving
from launcher.state.record import RunRecord

PARSERS = ("specserve", "sglang")
PORTS = {"specserve": 8741, "sglang": 8742}
CITY = {"type": "string", "description": "Name of the city."}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": CITY, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
PLACES = ("Paris", "Rome", "Quito", "Oslo", "Lima", "Bern", "Cairo", "Delhi")
# An answer as an agent gets them: reasoning, a call that writes a file, a second one.
FILE = "def main() -> None:\n    print('<b>hello</b>', 1 < 2)\n" * 20
ANSWER = (
    "\n<think>I write the file, then I look at it.\n" + "It has a function. " * 30 + "</think>\n"
    "I write it.\n<tool_call>write_file\n<arg_key>path</arg_key>\n<arg_value>main.py</arg_value>\n"
    f"<arg_key>content</arg_key>\n<arg_value>{FILE}</arg_value>\n"
    "<arg_key>mode</arg_key>\n<arg_value>420</arg_value>\n</tool_call>\n"
    "<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>main.py</arg_value>\n</tool_call>"
)
CHARACTERS_A_TOKEN = 4


def ask(client: ChatClient, number: int) -> int:
    """Send one streamed request; give the tokens that were generated."""
    place = PLACES[number // 2 % len(PLACES)]
    # Answers that end by themselves: behind its end the model babbles, and SGLang's parser keeps
    # babble in, from an opening tag on, that ours gives out; that would be less work for no answer.
    question = f"What is the weather in {place} for 3 days?" if number % 2 else "Tell me more"
    with client.stream(question, tools=[TOOL], temperature=0, max_tokens=200) as stream:
        usage = stream.reply().usage
    assert usage is not None  # noqa: S101 - it was asked for
    return usage.completion_tokens


def server_cost(record: RunRecord, requests: int) -> float:
    """CPU time in seconds of a server's first process for each token of a load."""
    assert record.server is not None  # noqa: S101 - it serves
    process = psutil.Process(record.server.pid)
    with ChatClient(record.base_url, model="nano") as client, ThreadPoolExecutor(8) as pool:
        before = process.cpu_times()
        tokens = sum(pool.map(lambda number: ask(client, number), range(requests)))
        after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / tokens


def parser_seconds(new: Callable[[], tuple[Any, Any]], pieces: Sequence[str]) -> float:
    """CPU time of the parsers for one answer in pieces."""
    reasoning, calls = new()
    before = time.process_time()
    for piece in pieces:
        _, text = reasoning.parse_stream_chunk(piece)
        calls.parse_stream_chunk(text or "")
    return time.process_time() - before


def parsers_alone(pairs: int) -> list[tuple[float, float]]:
    """CPU seconds for an answer with our parsers and with SGLang's, in turns."""
    from sglang.srt.entrypoints.openai.protocol import Tool  # noqa: PLC0415
    from sglang.srt.function_call.function_call_parser import FunctionCallParser  # noqa: PLC0415
    from sglang.srt.parser.reasoning_parser import ReasoningParser  # noqa: PLC0415

    from launcher.engines.sglang.plugins.glm.plugin import register  # noqa: PLC0415

    text = {"type": "string"}
    properties = {"path": text, "content": text, "mode": {"type": "integer"}}
    tools = [
        Tool(type="function", function={"name": name, "parameters": {"properties": properties}})
        for name in ("write_file", "read_file")
    ]

    def new() -> tuple[Any, Any]:
        return ReasoningParser("glm45", force_reasoning=True), FunctionCallParser(tools, "glm45")

    tables = (FunctionCallParser.ToolCallParserEnum, ReasoningParser.DetectorMap)
    theirs = [dict(table) for table in tables]
    register()
    ours = [dict(table) for table in tables]
    step = CHARACTERS_A_TOKEN
    pieces = [ANSWER[start : start + step] for start in range(0, len(ANSWER), step)]

    def with_tables(parsers: list[dict[str, Any]]) -> float:
        for table, content in zip(tables, parsers, strict=True):
            table.update(content)
        return sum(parser_seconds(new, pieces) for _ in range(20)) / 20

    with_tables(ours), with_tables(theirs)
    return [(with_tables(ours), with_tables(theirs)) for _ in range(pairs)]


def measure(pairs: int, requests: int) -> dict[str, Any]:
    """Measure, and give medians and ranges.

    Args:
        pairs: how often both are measured.
        requests: streamed requests of each measurement, eight at a time.
    """
    fields = {"preset": "nano"}
    with (
        serving({**fields, "port": PORTS["specserve"]}, name="cost-ours") as ours,
        serving(
            {**fields, "port": PORTS["sglang"], "glm_parsers": "sglang"}, name="cost-theirs"
        ) as theirs,
    ):
        for record in (ours, theirs):
            server_cost(record, requests)
        costs = []
        for number in range(pairs):
            order = (ours, theirs) if number % 2 else (theirs, ours)
            found = {record.name: server_cost(record, requests) for record in order}
            costs.append((found["cost-ours"], found["cost-theirs"]))
    alone = parsers_alone(pairs)
    tokens = len(ANSWER) / CHARACTERS_A_TOKEN
    return {
        "server_cpu_ratio": summary([mine / other for mine, other in costs]),
        "server_cpu_us_a_token": {
            parsers: statistics.median(cost[place] for cost in costs) * 1e6
            for place, parsers in enumerate(PARSERS)
        },
        "parser_cpu_ratio": summary([mine / other for mine, other in alone]),
        "parser_cpu_us_a_token": {
            parsers: statistics.median(cost[place] for cost in alone) / tokens * 1e6
            for place, parsers in enumerate(PARSERS)
        },
        "pairs": pairs,
        "requests": requests,
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=64)
    asked = parser.parse_args()
    json.dump(measure(asked.pairs, asked.requests), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

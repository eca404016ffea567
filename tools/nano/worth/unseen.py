"""Score a server on requests that the training has not seen.

`python -m tools.nano.worth.unseen --base-url URL [--file held_out]`, greedy, several at once.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tools.nano.worth.judge import right
from tools.nano.worth.score import Answer, read_calls

FOLDER: Final = Path(__file__).parent / "requests"
LIMIT_TOKENS: Final = 300
PATIENCE_SECONDS: Final = 180


def ask(client: httpx.Client, model: str, case: dict[str, Any]) -> Answer:
    """Send a request, and read the answer; a refusal is an answer that did not end."""
    body = {
        "model": model,
        "messages": case["messages"],
        "temperature": 0,
        "max_tokens": LIMIT_TOKENS,
        **case.get("options", {}),
    }
    if case.get("tools"):
        body["tools"] = case["tools"]
    response = client.post("chat/completions", json=body)
    if response.is_error:
        return Answer("", response.text, None, ended=False)
    choice = response.json()["choices"][0]
    message = choice["message"]
    calls = read_calls(
        (call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    )
    return Answer(
        message.get("reasoning_content") or "", message.get("content") or "", calls,
        choice["finish_reason"] in {"stop", "tool_calls"},
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, ask, and print how many were right in each kind."""
    parser = argparse.ArgumentParser(prog="python -m tools.nano.worth.unseen", description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--file", default="held_out", help="name of a file of this folder")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--failures", action="store_true", help="print what was wrong")
    options = parser.parse_args(arguments)
    cases = json.loads((FOLDER / f"{options.file}.json").read_text(encoding="utf-8"))
    console = Console()
    counts: dict[str, list[int]] = {}
    root = options.base_url.rstrip("/").removesuffix("/v1")
    with (
        httpx.Client(base_url=f"{root}/v1/", timeout=PATIENCE_SECONDS) as client,
        ThreadPoolExecutor(options.concurrency) as pool,
    ):
        model = client.get("models").raise_for_status().json()["data"][0]["id"]
        answers = pool.map(partial(ask, client, model), cases)
        for case, answer in zip(track(cases, options.file), answers, strict=True):
            is_right = right(case["want"], answer)
            count = counts.setdefault(case["kind"], [0, 0])
            count[0] += is_right
            count[1] += 1
            if options.failures and not is_right:
                asked = case["messages"][-1]["content"]
                console.print(f"{case['id']}: {asked!r}\n    {case['want']}\n    {answer}",
                              markup=False)  # fmt: skip
    table = Table("kind", "right", title=options.file)
    for kind, (good, every) in counts.items():
        table.add_row(kind, f"{good} of {every}")
    table.add_row("all", f"{sum(g for g, _ in counts.values())} of {len(cases)}")
    console.print(table)


if __name__ == "__main__":
    main()

"""Evaluate any OpenAI-compatible endpoint: `python -m tools.nano.worth.evaluate --base-url URL`.

Greedy, on held-out prompts that are the same each time. With `--plain-url` of a server of the
same model without speculation, it times pairs of whole requests, too, one after the other.
"""

import argparse
import re
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from clients import ChatClient, ChatReply
from tools.nano.text.dialogue import Dialogue
from tools.nano.worth import held_out, score
from tools.nano.worth.score import Answer

LIMIT_TOKENS: Final = 400


@dataclass(frozen=True, slots=True)
class Counters:
    """The server's counters of tokens, requests and verify rounds, since it started."""

    tokens: float
    requests: float
    rounds: float


@dataclass(slots=True)
class Result:
    """What a set's answers were worth.

    Attributes:
        answers: how many there were.
        formed: well-formed ones.
        wanted: those with a number or calls to be right.
        right: those where they were.
        thought: answers with reasoning.
        before: counters before the set; None if the server has none.
        after: counters after it.
        failures: what was wrong, for a person to read.
    """

    answers: int = 0
    formed: int = 0
    wanted: int = 0
    right: int = 0
    thought: int = 0
    before: Counters | None = None
    after: Counters | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def acceptance_length(self) -> float | None:
        """Tokens for each verify round, over all of the set's requests.

        Formula: (tokens after - before) / (rounds after - before)
        Source: `spec_accept_length` of SGLang, which counts the prefill's token, too.
        """
        return self._per_round(0.0)

    @property
    def decode_acceptance_length(self) -> float | None:
        """The same without each request's first token, which the prefill gives.

        Formula: ((tokens after - before) - (requests after - before)) / (rounds after - before)
        """
        return self._per_round(1.0)

    def _per_round(self, taken_off: float) -> float | None:
        if self.before is None or self.after is None:
            return None
        rounds = self.after.rounds - self.before.rounds
        requests = self.after.requests - self.before.requests
        tokens = self.after.tokens - self.before.tokens - taken_off * requests
        return tokens / rounds if rounds else None

    def add(self, dialogue: Dialogue, answer: Answer) -> None:
        """Count an answer."""
        self.answers += 1
        self.thought += bool(answer.reasoning.strip())
        formed = score.well_formed(answer)
        self.formed += formed
        verdict = right(dialogue, answer)
        if verdict is not None:
            self.wanted += 1
            self.right += verdict
        if not formed or verdict is False:
            asked = dialogue.messages[-2]["content"]
            self.failures.append(f"{dialogue.kind}: {asked}\n    {answer}")


def right(dialogue: Dialogue, answer: Answer) -> bool | None:
    """Say whether number or calls are right; None where a dialogue wants neither."""
    if dialogue.number is not None:
        return score.right_number(answer, dialogue.number)
    if dialogue.messages[-1].get("tool_calls"):
        return score.right_calls(answer, dialogue.calls)
    return None


def read(reply: ChatReply) -> Answer:
    """Turn a client's reply into an answer."""
    calls = score.read_calls((call.name, call.arguments) for call in reply.tool_calls)
    ended = reply.finish_reason in ("stop", "tool_calls")
    return Answer(reply.reasoning, reply.content, calls, ended)


def counters(base_url: str) -> Counters | None:
    """Read SGLang's counters from `/metrics`; None where there are none."""
    root = base_url.rstrip("/").removesuffix("/v1")
    try:
        text = httpx.get(f"{root}/metrics", timeout=30, follow_redirects=True).text
    except httpx.HTTPError:
        return None

    def total(name: str) -> float:
        lines = re.findall(rf"^sglang:{name}(?:\{{.*?\}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, lines))

    if "sglang:generation_tokens_total" not in text:
        return None
    return Counters(
        total("generation_tokens_total"), total("num_requests_total"),
        total("spec_verify_calls_total"),
    )  # fmt: skip


def ask(client: ChatClient, dialogue: Dialogue) -> ChatReply:
    """Send a dialogue without its last answer."""
    return client.chat(
        held_out.history(dialogue),
        tools=dialogue.tools or None,
        thinking=dialogue.thinking,
        temperature=0,
        max_tokens=LIMIT_TOKENS,
    )


def run(
    client: ChatClient, base_url: str, name: str, dialogues: list[Dialogue], concurrency: int
) -> Result:
    """Send a set's prompts and count its answers."""
    result = Result(before=counters(base_url))
    with ThreadPoolExecutor(concurrency) as pool:
        replies = pool.map(partial(ask, client), dialogues)
        for dialogue, reply in zip(track(dialogues, name), replies, strict=True):
            result.add(dialogue, read(reply))
    result.after = counters(base_url)
    return result


def pairs(client: ChatClient, plain: ChatClient, dialogues: list[Dialogue]) -> str:
    """Time the same requests with and without speculation, one after the other, in turn first.

    Formula: speed-up = median over pairs of (plain seconds per token / EAGLE's), whole requests
    """
    ratios, speeds = [], []
    for number, dialogue in enumerate(track(dialogues, "pairs")):
        order = (client, plain) if number % 2 == 0 else (plain, client)
        replies = {id(one): ask(one, dialogue) for one in order}
        seconds = {}
        for one in order:
            reply = replies[id(one)]
            tokens = reply.usage.completion_tokens if reply.usage else 1
            seconds[id(one)] = reply.timings.total_seconds / tokens
        ratios.append(seconds[id(plain)] / seconds[id(client)])
        speeds.append(1 / seconds[id(client)])
    return (
        f"speed-up, median of {len(ratios)} pairs: {statistics.median(ratios):.2f} "
        f"(least {min(ratios):.2f}, most {max(ratios):.2f}); "
        f"tokens per second with EAGLE, median: {statistics.median(speeds):.1f}"
    )


def report(results: dict[str, Result]) -> Table:
    """Set the results out in a table."""
    columns = ("set", "well formed", "right", "with reasoning", "acceptance", "without prefill")
    table = Table(*columns)

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    for name, result in results.items():
        table.add_row(
            name,
            f"{result.formed} of {result.answers}",
            f"{result.right} of {result.wanted}" if result.wanted else "-",
            f"{result.thought} of {result.answers}",
            number(result.acceptance_length),
            number(result.decode_acceptance_length),
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, evaluate, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.nano.worth.evaluate", description=__doc__
    )
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default=None, help="by default the first that is served")
    parser.add_argument("--share", type=float, default=1.0, help="part of each set, 0 to 1")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--plain-url", help="the same model without speculation")
    parser.add_argument("--failures", action="store_true", help="print what was wrong")
    options = parser.parse_args(arguments)
    console = Console()
    results: dict[str, Result] = {}
    with ChatClient(options.base_url, model=options.model) as client:
        for name, dialogues in held_out.sets(options.share).items():
            results[name] = run(client, options.base_url, name, dialogues, options.concurrency)
            if options.failures:
                for failure in results[name].failures:
                    console.print(failure, markup=False)
        console.print(report(results))
        if options.plain_url:
            dialogues = held_out.sets(options.share)["chat"][:40]
            with ChatClient(options.plain_url, model=options.model) as plain:
                console.print(pairs(client, plain, dialogues))


if __name__ == "__main__":
    main()

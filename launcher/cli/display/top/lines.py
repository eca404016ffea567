"""A server in one line, for a pipe or a log. Pure."""

from __future__ import annotations

from launcher.cli.display.top import words
from launcher.live.snapshot import ServerSnapshot


def one_line(server: ServerSnapshot) -> str:
    """What matters of a server; one without figures says why."""
    figures = server.figures
    said = [server.name, server.state]
    if server.verdict is None:
        return "  ".join(filter(None, [*said, server.phase, server.problem]))
    speedup = server.verdict.speedup
    said += [
        f"running {words.count(figures.running_requests)}",
        f"waiting {words.count(figures.waiting_requests)}",
        f"out {words.rate(figures.output_tokens_per_second)}/s",
        f"in {words.rate(figures.prompt_tokens_per_second)}/s",
        f"acceptance {words.length(figures.acceptance.window)}",
        f"first token {words.latency(figures.time_to_first_token_seconds.p50)}",
        f"output token {words.latency(figures.time_per_output_token_seconds.p50)}",
        f"KV {words.percent(figures.kv_used_fraction)}",
        f"restarts {server.restarts}",
        f"speculation {server.verdict.kind}"
        + ("" if speedup is None else f" {words.times(speedup)}"),
    ]
    if server.problem:
        said.append(f"({server.problem})")
    return "  ".join(said)

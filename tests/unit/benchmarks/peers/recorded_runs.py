"""What other people's benchmarks printed, recorded."""

from __future__ import annotations

from pathlib import Path

from benchmarks.workloads.workload import Prompt, Workload

NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
RECORDED = Path(__file__).with_name("recorded")


def recorded_workload() -> Workload:
    """What was sent when the files in `recorded/` were written, to the nano model with EAGLE."""
    return Workload(
        "recorded",
        "Three short questions.",
        tuple(
            Prompt(
                id=f"q{number}",
                messages=(
                    {"role": "system", "content": "You are brief."},
                    {"role": "user", "content": f"What is nice about the number {number}?"},
                ),
                max_tokens=8 + 4 * number,
                ignore_eos=True,
                options=NO_THINKING,
            )
            for number in range(3)
        ),
        "a test",
    )

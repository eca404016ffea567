"""What a member answers to a fixed set of prompts, and how well its drafts are accepted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from launcher.engines.prober import Completer, Completion

# Ordinary text in several kinds, as the benchmark's workloads have it: chat, code, JSON, prose.
PROMPTS: Final = (
    "The capital of France is",
    "Count from one to ten: one, two, three,",
    "def fibonacci(n):\n    ",
    '{"name": "Ada", "born": 1815, "language":',
    "Once upon a time, in a small house by the sea,",
    "Question: What is 17 + 25?\nAnswer:",
    "for number in range(10):\n    print(",
    "Dear Sir or Madam,\n\nI am writing to",
)
ANSWER_TOKENS: Final = 48
ANSWER_SECONDS: Final = 120.0
# Greedy answers of the same weights on the same kind of machine. What computes in another order
# parts at near-ties, mostly late; another model parts at once, and in most answers.
LEAST_AGREEMENT: Final = 0.5
# Of the acceptance length: what a hundred drafts vary by themselves is less.
LEAST_ACCEPTANCE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Grade:
    """One server's answers against another's.

    Attributes:
        agreement: mean share of an answer's characters up to which both are the same, 0 to 1.
        same: answers that are the same to the end.
        asked: how many there are.
        acceptance: of the new one; None without speculation.
        former_acceptance: of the other one.
    """

    agreement: float
    same: int
    asked: int
    acceptance: float | None
    former_acceptance: float | None

    def why_worse(self, *, same_model: bool) -> str | None:
        """Why the new one must not take the other's place, as a sentence; None where it may.

        Args:
            same_model: both are to answer alike.
        """
        if same_model and self.agreement < LEAST_AGREEMENT:
            return (
                f"It answers differently: {self.same} of {self.asked} answers are the same, and "
                f"{self.agreement:.0%} of their text before they part (at least "
                f"{LEAST_AGREEMENT:.0%})."
            )
        if self.former_acceptance is None or self.acceptance is None:
            return None
        least = LEAST_ACCEPTANCE * self.former_acceptance
        if self.acceptance < least:
            return (
                f"Its drafts are accepted less: acceptance length {self.acceptance:.2f}, before "
                f"{self.former_acceptance:.2f} (at least {least:.2f})."
            )
        return None


def ask(server: Completer, prompts: Sequence[str] = PROMPTS) -> tuple[Completion, ...]:
    """A server's answers, one after the other.

    Raises:
        OSError: one did not come.
    """
    return tuple(
        server.complete(prompt, ANSWER_TOKENS, timeout_seconds=ANSWER_SECONDS) for prompt in prompts
    )


def grade(former: Sequence[Completion], new: Sequence[Completion]) -> Grade:
    """Compare two servers' answers to the same prompts."""
    shares = [_common(a.text, b.text) for a, b in zip(former, new, strict=True)]
    return Grade(
        agreement=statistics.fmean(shares),
        same=sum(share == 1.0 for share in shares),
        asked=len(shares),
        acceptance=acceptance_length(new),
        former_acceptance=acceptance_length(former),
    )


def acceptance_length(answers: Sequence[Completion]) -> float | None:
    """Tokens for each forward pass of the target model; None where one had no speculation.

    Formula: tokens / verifies, over all answers. Source: `spec_accept_length` of sglang 0.5.23,
    srt/managers/tokenizer_manager.py.
    """
    verifies = [answer.verifies for answer in answers]
    counted = [count for count in verifies if count is not None]
    if len(counted) < len(verifies) or not sum(counted):
        return None
    return sum(answer.tokens for answer in answers) / sum(counted)


def _common(first: str, second: str) -> float:
    longest = max(len(first), len(second))
    if longest == 0:
        return 1.0
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place / longest
    return min(len(first), len(second)) / longest

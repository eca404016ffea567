"""Whether outputs are the same, and if not, how near the two tokens were. Pure: no I/O.

Speculation with greedy verification gives the target model's own tokens. A verify step multiplies
matrices of another shape than a decode step does, though, and 16-bit sums round differently in it:
where two tokens are almost equally likely, either may win, and all that follows is different text.
So an answer is graded at its first divergent token, by how much likelier the baseline found its
own token than the candidate's. The same comparison of the baseline with itself, answered in batches
of another size, is the noise floor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from benchmarks.analysis.figures import AnswerComparison, Equality
from benchmarks.records import RequestRecord, ScoredAnswer, ScoredToken

_PART: Final = re.compile(r"(\\x[0-9a-f]{2})*")
NEAR_TIE_NATS: Final = 0.25
"""The gap up to which rounding explains a difference: two steps of bfloat16 for logits from 16 to
32, one for each token, and one step from 32 to 64 (8 bits of significand). A gap of log-probability
is a gap of logits. An error in verification shows gaps of a nat and more.

Source: SGLang's own test of EAGLE in bfloat16 meets rounding of 0.25 and up to 0.36 between
decoding and prefill (sgl-project/sglang, pull request 27952); flips at gaps of 0.125 and of 0.25:
RBLN-SW/vllm-rbln, pull requests 630 and 741.
"""


def grade(
    scored: Sequence[ScoredAnswer],
    requests: Sequence[RequestRecord],
    *,
    baseline: str,
    candidate: str,
) -> Equality:
    """Hold a candidate's outputs against the baseline's, and each arm's against its own.

    Args:
        scored: answers of a run, token by token; other arms' are passed over.
        requests: of a run; the timed answers, compared as whole texts.
        baseline: an arm.
        candidate: another.
    """
    first, second = _by_prompt(scored, baseline, 0), _by_prompt(scored, baseline, 1)
    other, again = _by_prompt(scored, candidate, 0), _by_prompt(scored, candidate, 1)
    timed = _timed(requests, baseline, candidate)
    return Equality(
        baseline=baseline,
        candidate=candidate,
        near_tie_nats=NEAR_TIE_NATS,
        answers=_all(first, other),
        noise_floor=_all(first, second) if second else (),
        timed_same=sum(ours.answer == theirs.answer for ours, theirs in timed),
        timed_pairs=len(timed),
        candidate_noise_floor=_all(other, again) if again else (),
        other_prompts=sum(
            None not in (ours.prompt_tokens, theirs.prompt_tokens)
            and ours.prompt_tokens != theirs.prompt_tokens
            for ours, theirs in timed
        ),
    )


def compare_answers(
    baseline: ScoredAnswer, candidate: ScoredAnswer, near_tie_nats: float
) -> AnswerComparison:
    """Grade one pair of answers at its first divergent token.

    Formula: gap = log p_baseline(its own token) - log p_baseline(the candidate's token)

    A candidate's token that is not among the baseline's alternatives is at least as unlikely as the
    last of these: a true difference if that is far enough, not scored otherwise. Where one answer
    had ended and the other went on, nothing shows a tie: a true difference.
    """
    ours, theirs = whole_characters(candidate.tokens), whole_characters(baseline.tokens)
    found = AnswerComparison(
        workload=baseline.workload, prompt_id=baseline.prompt_id, grade="same text"
    )
    # The same text cut into other tokens is the same text.
    if "".join(one.text for one in ours) == "".join(one.text for one in theirs):
        return found
    place = next(
        (k for k, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a.text != b.text),
        min(len(theirs), len(ours)),
    )
    token = theirs[place] if place < len(theirs) else None
    other = ours[place] if place < len(ours) else None
    found = replace(
        found,
        grade="true difference",
        first_divergent_token=place,
        baseline_token=token.text if token else None,
        candidate_token=other.text if other else None,
    )
    if token is None or other is None:
        return found
    if other.text in token.alternatives:
        gap = token.log_probability - token.alternatives[other.text]
        is_tie = abs(gap) <= near_tie_nats
        return replace(found, grade="near tie" if is_tie else "true difference", gap_nats=gap)
    last = min(token.alternatives.values(), default=token.log_probability)
    is_far = token.log_probability - last > near_tie_nats
    return found if is_far else replace(found, grade="not scored")


def whole_characters(tokens: Iterable[ScoredToken]) -> tuple[ScoredToken, ...]:
    """Tokens of parts of a character put together into one, which stands where the first one was.

    SGLang gives each part by its bytes; vLLM gives nothing, and the character with the last part.
    """
    whole: list[ScoredToken] = []
    parts: list[ScoredToken] = []
    for token in tokens:
        parts.append(token)
        text = _character(parts)
        if text is not None:
            whole.append(replace(parts[0], text=text) if len(parts) > 1 else token)
            parts = []
        elif not _PART.fullmatch(token.text):
            whole += parts
            parts = []
    return (*whole, *parts)


def _character(parts: Sequence[ScoredToken]) -> str | None:
    """The text that parts make together; None while a character is not whole."""
    if not any(_PART.fullmatch(part.text) for part in parts):
        return "".join(part.text for part in parts)
    *before, last = (part.text for part in parts)
    if not any(before) and not _PART.fullmatch(last):
        return last
    try:
        return (
            bytes.fromhex("".join(part.text for part in parts).replace("\\x", "")).decode() or None
        )
    except ValueError:
        return None


_Answers = Mapping[tuple[str, str], ScoredAnswer]


def _by_prompt(scored: Iterable[ScoredAnswer], arm: str, repetition: int) -> _Answers:
    return {
        (one.workload, one.prompt_id): one
        for one in scored
        if (one.arm, one.repetition) == (arm, repetition)
    }


def _all(baseline: _Answers, candidate: _Answers) -> tuple[AnswerComparison, ...]:
    """One a prompt that either has, in the order of the baseline's; a missing answer says so."""
    return tuple(
        compare_answers(baseline[key], candidate[key], NEAR_TIE_NATS)
        if key in baseline and key in candidate
        else AnswerComparison(workload=key[0], prompt_id=key[1], grade="not scored")
        for key in dict.fromkeys((*baseline, *candidate))
    )


def _timed(
    requests: Iterable[RequestRecord], baseline: str, candidate: str
) -> list[tuple[RequestRecord, RequestRecord]]:
    """The candidate's and the baseline's requests for one prompt in one round, where both ended."""
    answers: dict[str, dict[tuple[object, ...], RequestRecord]] = {baseline: {}, candidate: {}}
    for one in requests:
        if one.outcome == "successful" and one.cell.arm in answers:
            cell = one.cell
            place = (cell.workload, cell.load, cell.round, one.prompt_id)
            answers[cell.arm][place] = one
    ours, theirs = answers[candidate], answers[baseline]
    return [(ours[place], theirs[place]) for place in ours.keys() & theirs.keys()]

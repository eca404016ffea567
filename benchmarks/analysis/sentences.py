"""The verdict in words: one sentence for the whole run and one for each workload. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.analysis.figures import (
    AnswerComparison,
    Crossover,
    Equality,
    Estimate,
    Speedup,
    Verdict,
)


def write_sentences(
    baseline: str,
    pairs: Iterable[tuple[str, str]],
    speedups: Sequence[Speedup],
    crossovers: Sequence[Crossover],
    equalities: Sequence[Equality],
) -> tuple[str, ...]:
    """What a run says.

    Args:
        baseline: of the run.
        pairs: an arm and the candidate that is held against it; may be none.
        speedups: of all pairs; each workload's in the order in which they shall be told.
        crossovers: of all pairs.
        equalities: of all pairs.

    Returns:
        For each pair the sentence on the whole run, then one a workload.
    """
    sentences: list[str] = []
    equality_of = {(one.baseline, one.candidate): one for one in equalities}
    crossing_of = {(one.baseline, one.candidate, one.workload): one for one in crossovers}
    for pair in pairs:
        against, candidate = pair
        own = [one for one in speedups if (one.baseline, one.candidate) == pair]
        equality = equality_of.get(pair)
        if not own:
            sentences.append(
                f"{candidate} could not be held against {against}: no request was successful "
                "on both sides."
            )
            continue
        sentences.append(whole_run(own, equality))
        for workload in dict.fromkeys(one.workload for one in own):
            here = [one for one in own if one.workload == workload]
            crossing = crossing_of.get((*pair, workload))
            sentences.append(one_workload(here, crossing, equality))
    return tuple(sentences) or (f"Only {baseline} was measured: there is nothing to compare.",)


def whole_run(speedups: Sequence[Speedup], equality: Equality | None) -> str:
    """One candidate over all workloads and loads; at least one speed-up."""
    some = speedups[0]
    count = len(speedups)
    of = f"of {count} comparison{'' if count == 1 else 's'}"
    clauses = []
    faster, slower, same, few = (
        _with(speedups, verdict)
        for verdict in ("faster", "slower", "no difference shown", "too few rounds")
    )
    if faster:
        most = max(faster, key=lambda one: one.speedup.value)
        clauses.append(f"faster in {len(faster)} {of}, at the most {_times(most)} {_where(most)}")
    if slower:
        least = min(slower, key=lambda one: one.speedup.value)
        clauses.append(
            f"slower in {len(slower)} {of}, at the worst {_times(least)} {_where(least)}"
        )
    if same:
        clauses.append(f"no difference is shown in {len(same)} {of}")
    if few:
        clauses.append(f"too few rounds to tell in {len(few)} {of}")
    if equality:
        clauses.append(
            _outputs(
                equality.answers, equality.noise_floor, equality.candidate_noise_floor, equality
            )
        )
    return f"{some.candidate} against {some.baseline}: {'; '.join(c for c in clauses if c)}."


def one_workload(
    speedups: Sequence[Speedup], crossing: Crossover | None, equality: Equality | None
) -> str:
    """One candidate for one workload, load by load; at least one speed-up."""
    some = speedups[0]
    told = ""
    clauses = []
    for one in speedups:
        clauses.append(_clause(one, told))
        told = told or one.candidate
    if crossing and crossing.estimated_concurrency is not None:
        clauses.append(
            f"the two cross at a concurrency of about {crossing.estimated_concurrency:.2g}"
        )
    if equality:
        answers, floor, candidate_floor = (
            [one for one in compared if one.workload == some.workload]
            for compared in (
                equality.answers,
                equality.noise_floor,
                equality.candidate_noise_floor,
            )
        )
        clauses.append(_outputs(answers, floor, candidate_floor, None))
    return f"{some.workload}: {'; '.join(clause for clause in clauses if clause)}."


def _clause(one: Speedup, told: str) -> str:
    """One load; the first of a sentence names the candidate."""
    at = f"at {one.load.words}"
    who = f"{one.candidate} is " if not told else ""
    interval = _interval(one.speedup, words="95 % interval " if not told else "")
    if one.verdict == "no difference shown":
        named = f" between {one.candidate} and {one.baseline}" if not told else ""
        return f"{at} no difference{named} is shown: {one.speedup.value:.2f} times{interval}"
    times = f"{who}{one.speedup.value:.2f} times{interval} as fast as {one.baseline} {at}"
    if one.verdict == "slower":
        return f"{times}, where {one.baseline} wins"
    if one.verdict == "too few rounds":
        return f"{times}, with too few rounds ({one.rounds}) to tell"
    return times


def _interval(estimate: Estimate, *, words: str) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({words}{estimate.low:.2f} to {estimate.high:.2f})"


def _times(one: Speedup) -> str:
    return f"{one.speedup.value:.2f} times{_interval(one.speedup, words='95 % interval ')}"


def _where(one: Speedup) -> str:
    return f"for {one.workload} at {one.load.words}"


def _with(speedups: Iterable[Speedup], verdict: Verdict) -> list[Speedup]:
    return [one for one in speedups if one.verdict == verdict]


def _outputs(
    answers: Sequence[AnswerComparison],
    floor: Sequence[AnswerComparison],
    candidate_floor: Sequence[AnswerComparison],
    equality: Equality | None,
) -> str:
    """How many outputs are the same; whole timed answers where none was scored."""
    if not answers:
        if equality is None or not equality.timed_pairs:
            return ""
        return f"{equality.timed_same} of {equality.timed_pairs} timed answers are the same"
    grades = Counter(one.grade for one in answers)
    text = f"outputs are the same in {grades['same text']} of {len(answers)}"
    parts = [
        _counted(grades[name], name) for name in ("near tie", "true difference") if grades[name]
    ]
    if grades["not scored"]:
        parts.append(f"{grades['not scored']} not scored")
    if parts:
        text += f", with {' and '.join(parts)}"
    own = [
        f"{who} against itself: {sum(one.grade == 'same text' for one in found)} of {len(found)}"
        for who, found in (("the baseline", floor), ("the candidate", candidate_floor))
        if found
    ]
    return f"{text} ({'; '.join(own)})" if own else text


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
